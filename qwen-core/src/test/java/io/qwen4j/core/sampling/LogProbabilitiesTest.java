package io.qwen4j.core.sampling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.qwen4j.NumericException;
import io.qwen4j.TokenLogProbability;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class LogProbabilitiesTest {
    @Test
    void agreesWithTheDefinition() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        int rows = 500;
        float[] row = new float[rows];
        for (int i = 0; i < rows; i++) {
            row[i] = (float) random.nextGaussian() * 10;
        }
        double sum = IntStream.range(0, rows).mapToDouble(i -> Math.exp(row[i])).sum();
        LogProbabilities log = new LogProbabilities(rows, rows, 20);
        for (int id = 0; id < rows; id++) {
            TokenLogProbability p = log.of(FloatBuffer.wrap(row), 0, id, 5);
            assertEquals(row[id] - Math.log(sum), p.logProbability(), 1e-5, "seed " + seed);
            assertEquals(p.logProbability(), log.score(FloatBuffer.wrap(row), 0, id));
            List<Integer> best = IntStream.range(0, rows).boxed().sorted((a, b) -> Float.compare(row[b], row[a])).limit(5).toList();
            assertEquals(best, p.alternatives().stream().map(TokenLogProbability.Alternative::id).toList());
            for (TokenLogProbability.Alternative a : p.alternatives()) {
                assertEquals(row[a.id()] - Math.log(sum), a.logProbability(), 1e-5);
            }
        }
    }

    @Test
    void edges() {
        LogProbabilities log = new LogProbabilities(4, 3, 20);
        float[] row = {1e38f, Float.NEGATIVE_INFINITY, 1e38f, 1e38f};
        TokenLogProbability p = log.of(FloatBuffer.wrap(row), 0, 1, 20);
        assertEquals(Float.NEGATIVE_INFINITY, p.logProbability());
        assertEquals(List.of(0, 2), p.alternatives().stream().map(TokenLogProbability.Alternative::id).toList());
        assertEquals(-Math.log(3), p.alternatives().get(0).logProbability(), 1e-6);
        assertEquals(List.of(), log.of(FloatBuffer.wrap(row), 0, 3, 0).alternatives());
        assertEquals(0f, new LogProbabilities(1, 1, 0).score(FloatBuffer.wrap(new float[] {0, 5}), 1, 0));
        float[] bad = {1, Float.NaN, 1, 1};
        assertThrows(NumericException.class, () -> log.score(FloatBuffer.wrap(bad), 0, 0));
        bad[1] = Float.POSITIVE_INFINITY;
        assertThrows(NumericException.class, () -> log.score(FloatBuffer.wrap(bad), 0, 0));
        float none = Float.NEGATIVE_INFINITY;
        assertThrows(NumericException.class, () -> log.score(FloatBuffer.wrap(new float[] {none, none, none, none}), 0, 0));
    }
}
