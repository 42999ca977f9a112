package io.qwen4j.core.tokenizer;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.function.Supplier;

/** Takes what a file says of tokens, merges and added tokens, checks it, and makes the tokenizer. */
final class TokenizerBuilder {
    /** For each row of the vocabulary at most this many merges; a trained vocabulary has less than one. */
    private static final int MERGES_PER_TOKEN = 4;

    private final Path file;
    private final int maxTokens;
    private final int maxMerges;
    private final TokenTable table = new TokenTable();
    private final Map<String, AddedToken> addedBySpelling = new LinkedHashMap<>();
    private final BitSet addedIds = new BitSet();

    /** Tokens whose characters stand for no bytes; each must turn out to be an added token. */
    private final Map<Integer, String> literals = new LinkedHashMap<>();

    private final IntList mergePairs = new IntList(1 << 12);
    private byte[] scratch = new byte[256];
    private boolean indexed;
    private int lastResult;

    TokenizerBuilder(Path file, ModelLimits limits) {
        this.file = file;
        maxTokens = Math.min(limits.vocabulary(), (1 << Merges.ID_BITS) - 1);
        maxMerges = (int) Math.min((long) MERGES_PER_TOKEN * maxTokens, Merges.maximum());
    }

    /** An error of the tokenizer's files. */
    ModelFileException error(Reason reason, String message) {
        return new ModelFileException(reason, file, message);
    }

    private ModelFileException bad(String message) {
        return error(Reason.TOKENIZER, message);
    }

    /** Adds a token, spelled with the characters that stand for bytes. */
    void token(String spelling, long id) {
        token(spelling.toCharArray(), spelling.length(), id);
    }

    /** Adds a token, spelled with the characters that stand for bytes. */
    void token(char[] text, int length, long id) {
        if (id < 0 || id >= maxTokens) {
            throw badId(id, new String(text, 0, length));
        }
        if (table.has((int) id) || literals.containsKey((int) id)) {
            throw bad("id " + id + " is given to two tokens, one is \"" + shortened(new String(text, 0, length)) + "\"");
        }
        if (length > 3 && text[0] == '<' && text[1] == '0' && text[2] == 'x') {
            checkByteToken(new String(text, 0, length));
        }
        int count = toBytes(text, 0, length, 0);
        if (count < 0) {
            literals.put((int) id, new String(text, 0, length));
        } else if (count == 0) {
            throw bad("the token of id " + id + " is empty");
        } else {
            table.put((int) id, scratch, count);
        }
    }

    /** Adds a token as {@link #token(String, long)} does, given in UTF-8. */
    void token(byte[] text, int from, int end, int id) {
        boolean plain = end - from < 4 || text[from] != '<' || text[from + 1] != '0' || text[from + 2] != 'x';
        int count = plain && id < maxTokens && !table.has(id) ? toBytes(text, from, end, 0) : -1;
        if (count > 0) {
            table.put(id, scratch, count);
        } else {
            token(new String(text, from, end - from, StandardCharsets.UTF_8), id);
        }
    }

    /** Adds a token of one byte, spelled {@code <0x41>}. */
    void byteToken(String spelling, int id) {
        checkByteToken(spelling);
        if (spelling.length() != 6 || !spelling.startsWith("<0x")) {
            throw bad("the byte token of id " + id + " must be spelled <0x00> to <0xFF>, found \"" + shortened(spelling) + "\"");
        }
        scratch[0] = (byte) Integer.parseInt(spelling, 3, 5, 16);
        table.put(id, scratch, 1);
    }

    /** Gives a row to an id that no text becomes and that stands before others that are used. */
    void unused(String spelling, int id) {
        byte[] bytes = spelling.getBytes(StandardCharsets.UTF_8);
        table.put(id, bytes, bytes.length);
    }

    private void checkByteToken(String spelling) {
        if (spelling.startsWith("<0x") && spelling.endsWith(">")) {
            boolean hex = spelling.length() == 6
                    && Character.digit(spelling.charAt(3), 16) >= 0
                    && Character.digit(spelling.charAt(4), 16) >= 0;
            if (!hex) {
                throw bad("the byte token \"" + shortened(spelling) + "\" must have two hexadecimal digits");
            }
        }
    }

    private ModelFileException badId(long id, String spelling) {
        String what = "the token \"" + shortened(spelling) + "\" has the id " + id;
        return id < 0 ? bad(what + ", expected 0 or more") : error(Reason.LIMIT, what + ", the limit is " + maxTokens + " tokens");
    }

    /** Adds the next merge, two tokens with one space between; all tokens are there. */
    void merge(char[] text, int from, int end) {
        int space = from;
        while (space < end && text[space] != ' ') {
            space++;
        }
        int leftEnd = toBytes(text, from, space, 0);
        // Behind the space: another one stands for no byte, so there is exactly one.
        merge(leftEnd, leftEnd < 0 || space == end ? -1 : toBytes(text, space + 1, end, leftEnd), () -> new String(text, from, end - from));
    }

    /** Adds the next merge as {@link #merge(char[], int, int)} does, given in UTF-8. */
    void merge(byte[] text, int from, int end) {
        int space = from;
        while (space < end && text[space] != ' ') {
            space++;
        }
        int leftEnd = toBytes(text, from, space, 0);
        merge(
                leftEnd,
                leftEnd < 0 || space == end ? -1 : toBytes(text, space + 1, end, leftEnd),
                () -> new String(text, from, end - from, StandardCharsets.UTF_8));
    }

    /** Adds the next merge, of two tokens; all tokens are there. */
    void merge(String left, String right) {
        int leftEnd = toBytes(left.toCharArray(), 0, left.length(), 0);
        merge(leftEnd, leftEnd < 0 ? -1 : toBytes(right.toCharArray(), 0, right.length(), leftEnd), () -> left + " " + right);
    }

    /** Adds the merge whose parts are in the scratch array, up to {@code leftEnd} and up to {@code end}. */
    private void merge(int leftEnd, int end, Supplier<String> text) {
        if (!indexed) {
            finishTokens();
        }
        if (end < 0 || leftEnd == 0 || end == leftEnd) {
            throw badMerge(text.get(), "must be two tokens of the vocabulary with one space between");
        }
        int leftHash = table.hash(scratch, 0, leftEnd);
        int leftId = table.find(leftHash, scratch, 0, leftEnd);
        int rightId = table.find(scratch, leftEnd, end);
        // In a trained vocabulary each merge makes the token behind the one before.
        int guess = lastResult + 1;
        int result = table.has(guess) && table.is(guess, scratch, 0, end)
                ? guess
                : table.find(table.hash(leftHash, scratch, leftEnd, end), scratch, 0, end);
        if (leftId < 0 || rightId < 0 || result < 0) {
            String what = leftId < 0 ? "its left part" : rightId < 0 ? "its right part" : "what it makes";
            throw badMerge(text.get(), "names a token that is not in the vocabulary: " + what);
        }
        if (mergePairs.size() == 3 * maxMerges) {
            throw error(Reason.LIMIT, "there are more merges than the limit of " + maxMerges);
        }
        lastResult = result;
        mergePairs.add(leftId);
        mergePairs.add(rightId);
        mergePairs.add(result);
    }

    private ModelFileException badMerge(String text, String message) {
        return bad("merge " + mergePairs.size() / 3 + " \"" + shortened(text) + "\" " + message);
    }

    private void finishTokens() {
        int twice = table.index();
        if (twice >= 0) {
            String token = new String(table.bytes(twice), StandardCharsets.UTF_8);
            throw bad("the token of id " + twice + " occurs twice, \"" + shortened(token) + "\"");
        }
        indexed = true;
    }

    /** Adds an added token. */
    void added(AddedToken token) {
        String spelling = token.spelling();
        if (spelling.isEmpty()) {
            throw bad("the added token of id " + token.id() + " is empty");
        }
        if (spelling.length() > AddedToken.MAX_LENGTH) {
            throw error(
                    Reason.LIMIT,
                    "the added token of id " + token.id() + " has " + spelling.length() + " characters, the limit is "
                            + AddedToken.MAX_LENGTH);
        }
        if (token.id() < 0 || token.id() >= maxTokens) {
            throw badId(token.id(), spelling);
        }
        if (addedIds.get(token.id())) {
            throw bad("id " + token.id() + " is given to two added tokens, one is \"" + shortened(spelling) + "\"");
        }
        addedIds.set(token.id());
        if (addedBySpelling.put(spelling, token) != null) {
            throw bad("the added token \"" + shortened(spelling) + "\" occurs twice");
        }
    }

    /** Adds an added token that another file says of this tokenizer too; where both have it, they must agree on the id. */
    void addedElsewhere(AddedToken token) {
        AddedToken known = addedBySpelling.get(token.spelling());
        if (known == null) {
            added(token);
        } else if (known.id() != token.id()) {
            String what = "the added token \"" + shortened(token.spelling()) + "\" has the id " + known.id();
            throw bad(what + ", in tokenizer_config.json " + token.id());
        }
    }

    /** The id of a token that is spelled literally, an added one or not. */
    OptionalInt find(String spelling) {
        AddedToken added = addedBySpelling.get(spelling);
        if (added != null) {
            return OptionalInt.of(added.id());
        }
        byte[] bytes = spelling.getBytes(StandardCharsets.UTF_8);
        int id = bytes.length == 0 ? -1 : table.find(bytes, 0, bytes.length);
        return id < 0 ? OptionalInt.empty() : OptionalInt.of(id);
    }

    /** Makes the tokenizer. */
    BpeTokenizer build(boolean normalizes, Roles roles) {
        if (!indexed) {
            finishTokens();
        }
        int[] byteIds = byteIds();
        Merges merges = merges();
        addedBySpelling.values().forEach(this::place);
        if (!literals.isEmpty()) {
            Map.Entry<Integer, String> one = literals.entrySet().iterator().next();
            throw bad("the token \"" + shortened(one.getValue()) + "\" of id " + one.getKey() + " has characters that stand for no byte");
        }
        for (int id = 0; id < table.end(); id++) {
            if (!table.has(id)) {
                throw bad("no token has the id " + id + ", the ids must be 0 to " + (table.end() - 1) + " without a gap");
            }
        }
        return new BpeTokenizer(
                table.vocabulary(), new BpeEncoder(merges, byteIds), addedBySpelling.values(), normalizes, roles.resolve(this));
    }

    /** What a file says of tokens with a role, once all tokens are known. */
    interface Roles {
        SpecialTokens resolve(TokenizerBuilder tokens);
    }

    private int[] byteIds() {
        int[] ids = new int[256];
        for (int b = 0; b < 256; b++) {
            scratch[0] = (byte) b;
            ids[b] = table.find(scratch, 0, 1);
            if (ids[b] < 0) {
                throw bad(String.format("there is no token for the byte 0x%02X", b));
            }
        }
        return ids;
    }

    private Merges merges() {
        int[] pairs = mergePairs.toArray();
        var merges = new Merges(pairs.length / 3);
        var hidden = new BitSet();
        addedBySpelling.values().forEach(token -> hidden.set(token.id(), token.special()));
        for (int i = 0; i < pairs.length; i += 3) {
            if (!merges.add(pairs[i], pairs[i + 1], pairs[i + 2])) {
                throw bad("merge " + i / 3 + " occurs twice, of the tokens " + pairs[i] + " and " + pairs[i + 1]);
            }
            if (hidden.get(pairs[i + 2])) {
                throw bad("merge " + i / 3 + " makes the special token " + pairs[i + 2] + ", which ordinary text must not become");
            }
        }
        return merges;
    }

    /** Gives an added token its row, or checks the one it has. */
    private void place(AddedToken token) {
        int id = token.id();
        byte[] bytes = token.spelling().getBytes(StandardCharsets.UTF_8);
        String literal = literals.remove(id);
        boolean same = literal != null ? literal.equals(token.spelling()) : !table.has(id) || Arrays.equals(table.bytes(id), bytes);
        if (!same) {
            throw bad("the added token \"" + shortened(token.spelling()) + "\" has the id " + id + " of another token");
        }
        int elsewhere = table.find(bytes, 0, bytes.length);
        if (elsewhere >= 0 && elsewhere != id) {
            throw bad("the added token \"" + shortened(token.spelling()) + "\" has the id " + id + ", in the vocabulary " + elsewhere);
        }
        if (!table.has(id)) {
            table.put(id, bytes, bytes.length);
        }
    }

    /** Writes the bytes that characters stand for into the scratch array and returns where they end, or -1 if one stands for none. */
    private int toBytes(char[] spelling, int from, int end, int at) {
        if (scratch.length - at < end - from) {
            scratch = Arrays.copyOf(scratch, Math.max(at + end - from, 2 * scratch.length));
        }
        int to = at;
        for (int i = from; i < end; i++) {
            int b = ByteCharacters.byteOf(spelling[i]);
            if (b < 0) {
                return -1;
            }
            scratch[to++] = (byte) b;
        }
        return to;
    }

    /** The same of characters in UTF-8; those that stand for a byte take one or two bytes themselves. */
    private int toBytes(byte[] spelling, int from, int end, int at) {
        if (scratch.length - at < end - from) {
            scratch = Arrays.copyOf(scratch, Math.max(at + end - from, 2 * scratch.length));
        }
        byte[] out = scratch;
        int to = at;
        for (int i = from; i < end; i++) {
            int c = spelling[i];
            if (c < 0) {
                // U+0080 to U+07FF
                if (c < (byte) 0xc2 || c > (byte) 0xdf || ++i == end || (spelling[i] & 0xc0) != 0x80) {
                    return -1;
                }
                c = (c & 0x1f) << 6 | spelling[i] & 0x3f;
            }
            int b = ByteCharacters.byteOf((char) c);
            if (b < 0) {
                return -1;
            }
            out[to++] = (byte) b;
        }
        return to;
    }

    /** A token for a message. */
    static String shortened(String token) {
        return token.length() > 60 ? token.substring(0, 60) + "..." : token;
    }
}
