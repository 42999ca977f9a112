package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import org.junit.jupiter.api.Test;

class PromptLookupTest {
    private static int find(int... tokens) {
        return PromptLookup.find(tokens, tokens.length);
    }

    @Test
    void theLatestPlaceOfTheMostTokensCounts() {
        assertEquals(3, find(1, 2, 3, 4, 5, 1, 2, 3));
        assertEquals(8, find(1, 2, 3, 4, 0, 1, 2, 3, 5, 0, 1, 2, 3));
        // Three tokens rather than two, even if those are nearer.
        assertEquals(3, find(1, 2, 3, 4, 0, 7, 2, 3, 5, 0, 1, 2, 3));
        assertEquals(7, find(9, 2, 3, 4, 0, 2, 3, 5, 8, 1, 2, 3));
        assertEquals(2, find(2, 3, 4, 1, 2, 3));
    }

    @Test
    void oneTokenAloneForeseesNothing() {
        assertEquals(-1, find(3, 1, 2, 3));
        assertEquals(-1, find(1));
        assertEquals(-1, find(1, 1));
        assertEquals(-1, find(1, 2));
        assertEquals(-1, find(1, 2, 3, 4, 5, 6));
        assertEquals(2, find(1, 1, 1));
    }

    @Test
    void theLastTokensAreNotTheirOwnPrecedent() {
        assertEquals(-1, find(5, 1, 2, 3));
        // But they may overlap with it.
        assertEquals(3, find(7, 7, 7, 7));
        assertEquals(5, find(0, 1, 2, 1, 2, 1, 2));
    }

    @Test
    void whatFollowedIsCopiedAndARepetitionGoesRound() {
        int[] tokens = {1, 2, 3, 1, 2, 3, 0, 0, 0, 0, 0, 9};
        PromptLookup.copy(tokens, PromptLookup.find(tokens, 6), 6, 5);
        assertArrayEquals(new int[] {1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 9}, tokens);
    }

    @Test
    void agreesWithASearchForEachNumberOfTokens() {
        Random random = new Random(1);
        for (int round = 0; round < 20_000; round++) {
            int values = 1 + random.nextInt(6);
            int length = random.nextInt(40);
            int[] tokens = random.ints(length + 3, 0, values).toArray();
            assertEquals(slow(tokens, length), PromptLookup.find(tokens, length), "round " + round);
        }
    }

    private static int slow(int[] tokens, int length) {
        for (int n = PromptLookup.MOST; n >= PromptLookup.LEAST; n--) {
            for (int at = length - n - 1; at >= 0; at--) {
                boolean same = true;
                for (int i = 0; i < n; i++) {
                    same &= tokens[at + i] == tokens[length - n + i];
                }
                if (same) {
                    return at + n;
                }
            }
        }
        return -1;
    }
}
