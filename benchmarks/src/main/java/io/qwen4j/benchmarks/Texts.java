package io.qwen4j.benchmarks;

import io.qwen4j.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Texts to measure with: English, Chinese and code in turn. Words are drawn from the vocabulary, the frequent ones more often (Zipf), so
 * that a long text has many different words and a cache of words is not flattered.
 */
final class Texts {
    static final String SHORT = "What is the capital of Japan, and how many people live there?";

    private final List<String> words = new ArrayList<>();
    private final List<String> characters = new ArrayList<>();
    private final Random random = new Random(1);

    private Texts(Tokenizer tokenizer) {
        for (int id = 256; id < tokenizer.vocabularySize(); id++) {
            String token = new String(tokenizer.tokenBytes(id), StandardCharsets.UTF_8);
            if (token.matches(" [a-z]{2,}")) {
                words.add(token.strip());
            } else if (token.codePoints().allMatch(c -> c >= 0x4e00 && c < 0x9fa6)) {
                characters.add(token);
            }
        }
    }

    /** A mixed text of at least that many bytes in UTF-8, cut to whole lines. */
    static String mixed(Tokenizer tokenizer, int bytes) {
        var texts = new Texts(tokenizer);
        var out = new StringBuilder();
        int written = 0;
        for (int turn = 0; written < bytes; turn++) {
            String part = switch (turn % 3) {
                case 0 -> texts.english();
                case 1 -> texts.chinese();
                default -> texts.code();
            };
            out.append(part);
            written += part.getBytes(StandardCharsets.UTF_8).length;
        }
        return out.toString();
    }

    private String drawn(List<String> from) {
        return from.get((int) Math.exp(random.nextDouble() * Math.log(from.size())) - 1);
    }

    private String english() {
        var out = new StringBuilder();
        for (int sentence = 0; sentence < 4; sentence++) {
            String first = drawn(words);
            out.append(Character.toUpperCase(first.charAt(0))).append(first.substring(1));
            for (int i = 5 + random.nextInt(15); i > 0; i--) {
                out.append(random.nextInt(8) == 0 ? ", " : " ").append(drawn(words));
            }
            out.append(random.nextInt(5) == 0 ? "? " : ". ");
        }
        return out.append("\n\n").toString();
    }

    private String chinese() {
        var out = new StringBuilder();
        for (int clause = 0; clause < 8; clause++) {
            for (int i = 3 + random.nextInt(6); i > 0; i--) {
                out.append(drawn(characters));
            }
            out.append(random.nextInt(3) == 0 ? "\u3002" : "\uff0c");
        }
        return out.append('\n').toString();
    }

    private String code() {
        var out = new StringBuilder();
        for (int method = 0; method < 3; method++) {
            String name = drawn(words) + Character.toUpperCase(drawn(words).charAt(0)) + drawn(words);
            String argument = drawn(words);
            out.append("    public int ").append(name).append("(int ").append(argument);
            out.append(") {\n        if (").append(argument).append(" > ");
            out.append(random.nextInt(1000)).append(") {\n            return this.").append(drawn(words)).append("[").append(argument);
            out.append("] * ").append(random.nextInt(100)).append(";  // ").append(drawn(words)).append(' ').append(drawn(words));
            out.append("\n        }\n        return -1;\n    }\n\n");
        }
        return out.toString();
    }
}
