package io.qwen4j.core.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class KeyChoiceRunsTest {
    @Test
    void everyBatchFitsInTheMostRuns() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        int fullest = 0;
        try (Ops ops = new JavaOps(new OpsOptions(1, null))) {
            for (int i = 0; i < 3000; i++) {
                int sequences = 1 + random.nextInt(4);
                int tokens = sequences + random.nextInt(40);
                int chunk = random.nextInt(4) == 0 ? 0 : 1 + random.nextInt(30);
                int most = KeyChoice.mostRuns(tokens, sequences, chunk);
                try (Batch batch = new Batch(ops, tokens, sequences, 100, 1);
                        KeyChoice choice = new KeyChoice(ops, most, 1, 30, 100)) {
                    int left = tokens;
                    for (int b = 0; b < sequences; b++) {
                        int count = b == sequences - 1 ? left : 1 + random.nextInt(left - (sequences - 1 - b));
                        left -= count;
                        batch.beginSequence(random.nextInt(40), new int[100], 100);
                        batch.markSparse();
                        for (int t = 0; t < count; t++) {
                            batch.addToken(0, false);
                        }
                    }
                    choice.begin(batch, new AttentionShape(1, 1, 16, 1, chunk));
                    fullest = Math.max(fullest, choice.runs() - most);
                    int covered = 0;
                    for (int run = 0; run < choice.runs(); run++) {
                        covered += choice.end(run) - choice.begin(run);
                    }
                    assertEquals(tokens, covered, "seed " + seed);
                }
            }
        }
        assertTrue(fullest == 0, "the bound is never reached: " + fullest);
    }
}
