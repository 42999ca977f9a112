package io.qwen4j.tool;

import io.qwen4j.ChatTemplate;
import io.qwen4j.Message;
import io.qwen4j.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Writes messages that hide a pass key in filler text and ask for it, as long as they may be. The words are those that tiny-qwen was
 * trained on; larger models need no training for them. Not thread-safe.
 */
final class PassKeyPrompts {
    static final int DIGITS = 5;

    private static final String INSTRUCTION = "Read the text and remember the pass key.\n";
    private static final String QUESTION = "\nWhat is the pass key?";
    private static final List<String> FILLER = List.of(
            "The grass is green and the sky is blue.",
            "The sun rises in the east and sets in the west.",
            "A river runs past the quiet village.",
            "The wind moves the leaves of the old trees.",
            "People walk to the market in the morning.",
            "Birds sing above the roofs of the town.",
            "The train leaves the station every hour.",
            "Rain falls on the hills in the spring.",
            "The baker opens the shop before sunrise.",
            "Children play in the park after school.",
            "The library keeps many books on long shelves.",
            "A ship crosses the calm sea at night.");
    /** The first try hits the length with every tokenizer that splits words before spaces. */
    private static final int TRIES = 8;

    private final Tokenizer tokenizer;
    private final ChatTemplate template;
    /** Tokens of each sentence behind another one. */
    private final int[] costs;

    /**
     * A message.
     *
     * @param text what the user says
     * @param key digits that occur nowhere else in it
     * @param tokens of the rendered prompt
     */
    record Prompt(String text, String key, int tokens) {}

    PassKeyPrompts(Tokenizer tokenizer, ChatTemplate template) {
        this.tokenizer = tokenizer;
        this.template = template;
        costs = FILLER.stream().mapToInt(sentence -> tokenizer.encode(" " + sentence).length).toArray();
    }

    /** Tokens of a prompt without filler. */
    int fewestTokens() {
        return prompt(List.of(), 0, "0".repeat(DIGITS)).tokens();
    }

    /**
     * Writes the longest message whose prompt has no more than {@code tokens}; exactly as many, but for the shortest ones.
     *
     * @param tokens at least {@link #fewestTokens()}
     * @param depth where the key is hidden: 0 before all filler, 1 behind it, between them behind that part of its tokens
     */
    Prompt write(int tokens, double depth, String key, Random random) {
        Prompt longest = prompt(List.of(), depth, key);
        if (longest.tokens() > tokens) {
            throw new IllegalArgumentException("a pass key takes " + longest.tokens() + " tokens, found " + tokens);
        }
        int room = tokens - longest.tokens();
        for (int i = 0; i < TRIES && longest.tokens() < tokens; i++) {
            Prompt prompt = prompt(sentences(Math.max(0, room), random), depth, key);
            if (prompt.tokens() <= tokens && prompt.tokens() > longest.tokens()) {
                longest = prompt;
            }
            room += tokens - prompt.tokens();
        }
        return longest;
    }

    /** Random sentences whose costs add up to {@code room}, or to the next smaller sum there is. */
    private List<Integer> sentences(int room, Random random) {
        List<Integer> chosen = new ArrayList<>();
        // Each sum is reached from here: lengths of sentences differ by single tokens.
        int free = 6 * Arrays.stream(costs).max().orElseThrow();
        int left = room;
        while (left > free) {
            int sentence = random.nextInt(costs.length);
            chosen.add(sentence);
            left -= costs[sentence];
        }
        // last[sum] is a sentence that ends a text of so many tokens.
        int[] last = new int[left + 1];
        for (int sum = 1; sum <= left; sum++) {
            last[sum] = -1;
            int start = random.nextInt(costs.length);
            for (int i = 0; i < costs.length && last[sum] < 0; i++) {
                int sentence = (start + i) % costs.length;
                int before = sum - costs[sentence];
                if (before == 0 || before > 0 && last[before] >= 0) {
                    last[sum] = sentence;
                }
            }
        }
        while (left > 0 && last[left] < 0) {
            left--;
        }
        for (; left > 0; left -= costs[last[left]]) {
            chosen.add(last[left]);
        }
        Collections.shuffle(chosen, random);
        return chosen;
    }

    private Prompt prompt(List<Integer> sentences, double depth, String key) {
        double before = depth * sentences.stream().mapToInt(s -> costs[s]).sum();
        StringBuilder text = new StringBuilder(INSTRUCTION);
        String separator = "";
        double passed = 0;
        boolean hidden = false;
        for (int sentence : sentences) {
            // At the border between sentences that is nearest to the depth.
            if (!hidden && passed + costs[sentence] / 2.0 > before) {
                text.append(separator).append(needle(key));
                separator = " ";
                hidden = true;
            }
            text.append(separator).append(FILLER.get(sentence));
            separator = " ";
            passed += costs[sentence];
        }
        if (!hidden) {
            text.append(separator).append(needle(key));
        }
        String message = text.append(QUESTION).toString();
        return new Prompt(message, key, tokenizer.encode(template.render(List.of(Message.user(message)), List.of(), true)).length);
    }

    private static String needle(String key) {
        return "The pass key is " + key + ". Remember it.";
    }
}
