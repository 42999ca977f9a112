package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Merging of short and long words against the definition. */
class MergeTest {
    private static final int LETTERS = 4;

    /** The definition: the pair of the lowest rank merges, the leftmost of several. */
    private static int[] defined(Merges merges, int[] symbols) {
        List<Integer> word = new ArrayList<>();
        for (int symbol : symbols) {
            word.add(symbol);
        }
        while (true) {
            int best = -1;
            int bestRank = Merges.NONE;
            for (int i = 0; i + 1 < word.size(); i++) {
                int rank = merges.rank(word.get(i), word.get(i + 1));
                if (rank < bestRank) {
                    best = i;
                    bestRank = rank;
                }
            }
            if (best < 0) {
                return word.stream().mapToInt(Integer::intValue).toArray();
            }
            word.set(best, merges.result(bestRank));
            word.remove(best + 1);
        }
    }

    /** Random merges; their order is random too, so that a merge may make a pair of a lower rank than its own, as no trained model has. */
    private static Merges randomMerges(Random random, int[] byteIds) {
        List<String> tokens = new ArrayList<>(List.of("a", "b", "c", "d"));
        List<int[]> pairs = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            int left = random.nextInt(tokens.size());
            int right = random.nextInt(3) == 0 ? left : random.nextInt(tokens.size());
            String made = tokens.get(left) + tokens.get(right);
            if (made.length() <= 12 && !tokens.contains(made)) {
                tokens.add(made);
                pairs.add(new int[] {left, right, tokens.size() - 1});
            }
        }
        if (random.nextBoolean()) {
            java.util.Collections.shuffle(pairs, random);
        }
        var merges = new Merges(pairs.size());
        pairs.forEach(pair -> merges.add(pair[0], pair[1], pair[2]));
        for (int i = 0; i < LETTERS; i++) {
            byteIds['a' + i] = i;
        }
        return merges;
    }

    @Test
    void randomWords() {
        long seed = System.nanoTime();
        var random = new Random(seed);
        for (int round = 0; round < 300; round++) {
            int[] byteIds = new int[256];
            Merges merges = randomMerges(random, byteIds);
            var encoder = new BpeEncoder(merges, byteIds);
            var kept = new LongMerge(merges);
            for (int word = 0; word < 20; word++) {
                int length = 2 + random.nextInt(word % 4 == 0 ? 300 : 40);
                int letters = 1 + random.nextInt(LETTERS);
                char[] text = new char[length];
                int[] symbols = new int[length];
                for (int i = 0; i < length; i++) {
                    symbols[i] = random.nextInt(letters);
                    text[i] = (char) ('a' + symbols[i]);
                }
                int[] expected = defined(merges, symbols);
                var ids = new IntList(8);
                encoder.encode(text, 0, length, ids);
                assertArrayEquals(expected, ids.toArray(), () -> "seed " + seed + " " + new String(text));
                int[] inPlace = symbols.clone();
                int left = kept.merge(inPlace, length);
                assertArrayEquals(expected, java.util.Arrays.copyOf(inPlace, left), () -> "seed " + seed + " " + new String(text));
            }
        }
    }
}
