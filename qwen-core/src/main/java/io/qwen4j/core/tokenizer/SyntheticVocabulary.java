package io.qwen4j.core.tokenizer;

import io.qwen4j.core.format.gguf.GgufValue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * A byte-level BPE vocabulary that was learned from nothing: the 256 bytes, merges of English letters by their frequency until the ids are
 * used up, and the control tokens of Qwen2.5 behind them. Any text round-trips; of English text a token has about three characters.
 */
public final class SyntheticVocabulary {
    /** Tokens of Qwen2.5 that are no control tokens; the control tokens have the ids from here on. */
    public static final int ORDINARY = 151_643;

    private static final String ENDOFTEXT = "<|endoftext|>";
    private static final String END = "<|im_end|>";
    private static final List<String> ADDED = List.of(
            ENDOFTEXT,
            "<|im_start|>",
            END,
            "<|object_ref_start|>",
            "<|object_ref_end|>",
            "<|box_start|>",
            "<|box_end|>",
            "<|quad_start|>",
            "<|quad_end|>",
            "<|vision_start|>",
            "<|vision_end|>",
            "<|vision_pad|>",
            "<|image_pad|>",
            "<|video_pad|>",
            "<tool_call>",
            "</tool_call>",
            "<|fim_prefix|>",
            "<|fim_middle|>",
            "<|fim_suffix|>",
            "<|fim_pad|>",
            "<|repo_name|>",
            "<|file_sep|>");
    /** The letters of English, the most frequent first. */
    private static final String LETTERS = "etaoinshrdlcumwfgypbvkjxqz";
    private static final String SPACE = "\u0120";
    private static final String NEWLINE = "\u010a";
    private static final String TAB = "\u0109";

    private static final int BYTES = 256;
    private static final int ALL = Integer.MAX_VALUE;

    private static final int NORMAL = 1;
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final int UNUSED = 5;

    private final int ordinary;
    private final List<String> tokens = new ArrayList<>();
    private final Set<String> known = new HashSet<>();
    private final List<String> merges = new ArrayList<>();

    private SyntheticVocabulary(int ordinary) {
        this.ordinary = ordinary;
        for (char c : ByteCharacters.all().toCharArray()) {
            tokens.add(String.valueOf(c));
        }
        known.addAll(tokens);
        blanks();
        words();
        if (tokens.size() < ordinary) {
            throw new IllegalArgumentException(ordinary + " tokens, but only " + tokens.size() + " can be made");
        }
    }

    /**
     * The keys of the vocabulary in a GGUF file.
     *
     * @param ordinary number of tokens that are no control tokens, at least 256; {@link #ORDINARY} in Qwen2.5
     * @param rows rows of the embedding, at least 22 more; those behind the control tokens are unused
     */
    public static void addTo(Map<String, GgufValue> metadata, int ordinary, int rows) {
        if (ordinary < BYTES || rows - ADDED.size() < ordinary) {
            throw new IllegalArgumentException("a vocabulary of " + rows + " rows, of which " + ordinary
                    + " are ordinary tokens: expected at least " + BYTES + " of these and " + ADDED.size() + " more rows");
        }
        var vocabulary = new SyntheticVocabulary(ordinary);
        List<String> tokens = new ArrayList<>(vocabulary.tokens);
        int[] types = new int[rows];
        Arrays.fill(types, 0, ordinary, NORMAL);
        for (String added : ADDED) {
            types[tokens.size()] = added.startsWith("<|") ? CONTROL : USER_DEFINED;
            tokens.add(added);
        }
        while (tokens.size() < rows) {
            types[tokens.size()] = UNUSED;
            tokens.add("[PAD" + tokens.size() + "]");
        }
        GgufValue endOfText = GgufValue.of(tokens.indexOf(ENDOFTEXT));
        metadata.put("tokenizer.ggml.model", GgufValue.of("gpt2"));
        metadata.put("tokenizer.ggml.pre", GgufValue.of("qwen2"));
        metadata.put("tokenizer.ggml.tokens", GgufValue.of(tokens));
        metadata.put("tokenizer.ggml.token_type", GgufValue.of(types));
        metadata.put("tokenizer.ggml.merges", GgufValue.of(vocabulary.merges));
        metadata.put("tokenizer.ggml.eos_token_id", GgufValue.of(tokens.indexOf(END)));
        metadata.put("tokenizer.ggml.bos_token_id", endOfText);
        metadata.put("tokenizer.ggml.padding_token_id", endOfText);
        metadata.put("tokenizer.ggml.add_bos_token", GgufValue.of(false));
    }

    /** Runs of the same blank, by doubling. */
    private void blanks() {
        for (String blank : List.of(SPACE, NEWLINE, TAB)) {
            for (int length = 1; length <= 16; length *= 2) {
                merge(blank.repeat(length), blank.repeat(length));
            }
        }
    }

    /**
     * Words from short to long. A merge comes before all that would take its parts away: a space joins a pair of letters before two pairs
     * join each other.
     */
    private void words() {
        List<String> space = List.of(SPACE);
        List<String> letters = List.of(LETTERS.split(""));
        List<String> capitals = List.of(LETTERS.toUpperCase(Locale.ROOT).split(""));
        List<String> pairs = product(letters, letters, ALL);
        List<String> spaced = product(space, pairs, ALL);
        product(space, letters, ALL);
        product(space, capitals, ALL);
        product(capitals, letters, ALL);
        product(capitals, pairs, ALL);
        product(spaced, pairs, 40_000);
        List<String> fours = product(pairs, pairs, 20_000);
        product(pairs, letters, ALL);
        product(spaced, letters, ALL);
        product(fours, pairs, 200_000);
    }

    /** Merges of two lists in the order of the sum of the places, at most {@code most}; returns what they make. */
    private List<String> product(List<String> left, List<String> right, int most) {
        List<String> made = new ArrayList<>();
        for (int sum = 0; sum <= left.size() + right.size() - 2 && made.size() < most; sum++) {
            int first = Math.max(0, sum - right.size() + 1);
            int last = Math.min(sum, left.size() - 1);
            for (int i = first; i <= last && made.size() < most; i++) {
                merge(left.get(i), right.get(sum - i));
                made.add(left.get(i) + right.get(sum - i));
            }
        }
        return made;
    }

    /** Adds a merge and the token that it makes, unless there is one already or there are enough. */
    private void merge(String left, String right) {
        String made = left + right;
        if (tokens.size() < ordinary && known.contains(left) && known.contains(right) && known.add(made)) {
            tokens.add(made);
            merges.add(left + " " + right);
        }
    }
}
