package io.qwen4j.core.tokenizer;

import io.qwen4j.ControlTokens;
import io.qwen4j.RenderedPrompt;
import io.qwen4j.Tokenizer;
import java.util.BitSet;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalInt;

/** The tokenizer of the Qwen2 family. */
public final class BpeTokenizer implements Tokenizer {
    private final Vocabulary vocabulary;
    private final BpeEncoder encoder;
    private final boolean normalizes;
    private final SpecialTokens specialTokens;
    private final Map<String, AddedToken> bySpelling = new HashMap<>();
    private final BitSet special = new BitSet();

    /** Tokens that are looked for in the text as it is. */
    private final AddedTokens raw;
    /** Tokens that are looked for after normalising; their spelling is normalised too. */
    private final AddedTokens normalized;

    BpeTokenizer(
            Vocabulary vocabulary,
            BpeEncoder encoder,
            Collection<AddedToken> addedTokens,
            boolean normalizes,
            SpecialTokens specialTokens) {
        this.vocabulary = vocabulary;
        this.encoder = encoder;
        this.normalizes = normalizes;
        this.specialTokens = specialTokens;
        Map<String, AddedToken> rawTokens = new HashMap<>();
        Map<String, AddedToken> normalizedTokens = new HashMap<>();
        for (AddedToken token : addedTokens) {
            bySpelling.put(token.spelling(), token);
            special.set(token.id(), token.special());
            if (token.normalized() && normalizes) {
                String spelling = normalize(token.spelling());
                normalizedTokens.put(
                        spelling, new AddedToken(token.id(), spelling, token.leftStrip(), token.rightStrip(), true, token.special()));
            } else {
                rawTokens.put(token.spelling(), token);
            }
        }
        raw = new AddedTokens(rawTokens.values());
        normalized = new AddedTokens(normalizedTokens.values());
    }

    private static String normalize(String text) {
        char[] characters = Text.characters(text);
        Nfc.Result result = Nfc.normalize(characters, 0, characters.length);
        return new String(result.text(), 0, result.length());
    }

    /** The tokens that have a role. */
    public SpecialTokens specialTokens() {
        return specialTokens;
    }

    @Override
    public int[] encode(CharSequence text, ControlTokens controlTokens) {
        char[] characters = Text.characters(text);
        return new Encoding(characters).run(controlTokens == ControlTokens.RECOGNIZE ? new int[] {0, characters.length} : new int[0]);
    }

    @Override
    public int[] encode(RenderedPrompt prompt) {
        // Pairs of where recognised text starts and ends; neighbouring pieces of the template are one.
        var regions = new IntList(2 * prompt.segments().size());
        int at = 0;
        boolean open = false;
        for (RenderedPrompt.Segment segment : prompt.segments()) {
            boolean recognized = segment.controlTokens() == ControlTokens.RECOGNIZE;
            if (recognized != open && !segment.text().isEmpty()) {
                regions.add(at);
                open = recognized;
            }
            at = Math.addExact(at, segment.text().length());
        }
        if (open) {
            regions.add(at);
        }
        return new Encoding(Text.characters(prompt.text())).run(regions.toArray());
    }

    @Override
    public String decode(int[] ids, boolean skipSpecial) {
        long total = 0;
        for (int id : ids) {
            total += vocabulary.length(checked(id));
        }
        byte[] bytes = new byte[Math.toIntExact(total)];
        int end = 0;
        for (int id : ids) {
            if (!(skipSpecial && special.get(id))) {
                end = vocabulary.copy(id, bytes, end);
            }
        }
        return Text.decode(bytes, 0, end);
    }

    @Override
    public StreamingDecoder streamingDecoder(boolean skipSpecial) {
        return new Streaming(skipSpecial);
    }

    @Override
    public byte[] tokenBytes(int id) {
        return vocabulary.bytes(checked(id));
    }

    @Override
    public boolean isSpecial(int id) {
        return special.get(checked(id));
    }

    @Override
    public OptionalInt addedToken(String spelling) {
        AddedToken token = bySpelling.get(spelling);
        return token == null ? OptionalInt.empty() : OptionalInt.of(token.id());
    }

    @Override
    public int vocabularySize() {
        return vocabulary.size();
    }

    private int checked(int id) {
        if (id < 0 || id >= vocabulary.size()) {
            throw new IllegalArgumentException("token id " + id + " is not in 0 to " + (vocabulary.size() - 1));
        }
        return id;
    }

    /** What becomes of the text between added tokens. */
    private interface Rest {
        void take(int from, int end);
    }

    /** One text on its way to ids. */
    private final class Encoding {
        private final char[] text;
        private final IntList ids;

        Encoding(char[] text) {
            this.text = text;
            ids = new IntList(text.length / 4 + 8);
        }

        /** Encodes; added tokens are recognised inside the regions, pairs of start and end. */
        int[] run(int[] regions) {
            split(raw, text, 0, text.length, regions, (from, end) -> withoutRaw(from, end, regions));
            return ids.toArray();
        }

        /** Text without raw added tokens. */
        private void withoutRaw(int from, int end, int[] regions) {
            if (normalized.isEmpty()) {
                normalizeAndMerge(from, end);
            } else if (isInside(from, end, regions)) {
                Nfc.Result result = Nfc.normalize(text, from, end);
                int[] all = {0, result.length()};
                split(normalized, result.text(), 0, result.length(), all, (a, b) -> merge(result.text(), a, b));
            } else {
                // Normalising would lose which characters may be recognised, so spellings are looked for as they stand.
                split(normalized, text, from, end, regions, this::normalizeAndMerge);
            }
        }

        private void normalizeAndMerge(int from, int end) {
            if (normalizes && Nfc.quickCheck(text, from, end) < end) {
                Nfc.Result result = Nfc.normalize(text, from, end);
                merge(result.text(), 0, result.length());
            } else {
                merge(text, from, end);
            }
        }

        private void merge(char[] piece, int from, int end) {
            for (int i = from; i < end; ) {
                int wordEnd = PreTokenizer.wordEnd(piece, i, end);
                encoder.encode(piece, i, wordEnd, ids);
                i = wordEnd;
            }
        }

        private void split(AddedTokens tokens, char[] piece, int from, int end, int[] regions, Rest rest) {
            int done = from;
            for (int r = 0; r < regions.length && !tokens.isEmpty(); r += 2) {
                int limit = Math.min(regions[r + 1], end);
                int at = tokens.nextCandidate(piece, Math.max(regions[r], from), limit);
                while (at < limit) {
                    AddedToken token = tokens.longest(piece, at, limit);
                    if (token == null) {
                        at = tokens.nextCandidate(piece, at + 1, limit);
                        continue;
                    }
                    int tokenEnd = at + token.spelling().length();
                    int start = token.leftStrip() ? Math.max(done, spacesBefore(piece, at, from)) : at;
                    if (done < start) {
                        rest.take(done, start);
                    }
                    ids.add(token.id());
                    done = token.rightStrip() ? spacesBehind(piece, tokenEnd, end) : tokenEnd;
                    at = tokens.nextCandidate(piece, tokenEnd, limit);
                }
            }
            if (done < end) {
                rest.take(done, end);
            }
        }
    }

    private static boolean isInside(int from, int end, int[] regions) {
        for (int r = 0; r < regions.length; r += 2) {
            if (regions[r] <= from && end <= regions[r + 1]) {
                return true;
            }
        }
        return false;
    }

    private static int spacesBefore(char[] text, int i, int from) {
        int at = i;
        while (at > from && CodePoints.classOf(text[at - 1]) == CodePoints.SPACE) {
            at--;
        }
        return at;
    }

    private static int spacesBehind(char[] text, int i, int end) {
        int at = i;
        while (at < end && CodePoints.classOf(text[at]) == CodePoints.SPACE) {
            at++;
        }
        return at;
    }

    private final class Streaming implements StreamingDecoder {
        private final boolean skipSpecial;
        private final byte[] waiting = new byte[3];
        private int waitingLength;

        Streaming(boolean skipSpecial) {
            this.skipSpecial = skipSpecial;
        }

        @Override
        public String next(int id) {
            if (skipSpecial && special.get(checked(id))) {
                return "";
            }
            byte[] bytes = new byte[waitingLength + vocabulary.length(checked(id))];
            System.arraycopy(waiting, 0, bytes, 0, waitingLength);
            int end = vocabulary.copy(id, bytes, waitingLength);
            waitingLength = Text.incompleteSuffix(bytes, end);
            System.arraycopy(bytes, end - waitingLength, waiting, 0, waitingLength);
            return Text.decode(bytes, 0, end - waitingLength);
        }

        @Override
        public String finish() {
            String rest = Text.decode(waiting, 0, waitingLength);
            waitingLength = 0;
            return rest;
        }
    }
}
