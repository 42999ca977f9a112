package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class DraftLengthTest {
    @Test
    void beginsWithOneAndGrowsWithWhatComesTrue() {
        DraftLength length = new DraftLength();
        assertEquals(1, length.best(8, 1));
        int before = 1;
        for (int i = 0; i < 20; i++) {
            length.learn(true);
            assertTrue(length.best(8, 1) >= before);
            before = length.best(8, 1);
        }
        assertEquals(8, before);
        assertEquals(3, length.best(3, 1));
        assertEquals(0, length.best(0, 1));
    }

    @Test
    void nothingIsComputedAheadWhileNothingComesTrue() {
        DraftLength length = new DraftLength();
        for (int i = 0; i < 20; i++) {
            length.learn(true);
        }
        int misses = 0;
        while (length.best(8, 1) > 0) {
            length.learn(false);
            misses++;
        }
        assertEquals(5, misses);
        // Two tokens that came true are enough to begin again.
        for (int i = 0; i < 100; i++) {
            length.learn(false);
        }
        length.learn(true);
        length.learn(true);
        assertEquals(1, length.best(8, 1));
    }

    @Test
    void besideOthersTokensMustBeLikelier() {
        DraftLength length = new DraftLength();
        assertEquals(0, length.best(8, 2));
        int[] hits = new int[4];
        for (int i = 1; i <= 20; i++) {
            length.learn(true);
            for (int sequences = 1; sequences <= 3; sequences++) {
                assertTrue(length.best(8, sequences) <= length.best(8, 1));
                hits[sequences] = hits[sequences] == 0 && length.best(8, sequences) > 0 ? i : hits[sequences];
            }
        }
        assertEquals(1, hits[1]);
        assertEquals(1, hits[2]);
        assertEquals(4, hits[3]);
    }

    @Test
    void atAConstantRateTheLengthIsThatOfTheLastTokenThatIsWorthIt() {
        Random random = new Random(1);
        for (double rate : new double[] {0.1, 0.5, 0.8, 0.95}) {
            DraftLength length = new DraftLength();
            double sum = 0;
            for (int i = 0; i < 20_000; i++) {
                length.learn(random.nextDouble() < rate);
                sum += length.best(16, 1);
            }
            double ideal = Math.floor(Math.log(DraftLength.WORTH) / Math.log(rate));
            assertEquals(Math.min(16, ideal), sum / 20_000, 1 + ideal / 3, "rate " + rate);
        }
    }
}
