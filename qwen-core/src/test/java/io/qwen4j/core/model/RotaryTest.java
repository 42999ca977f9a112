package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.core.model.QwenConfig.Rope;
import io.qwen4j.core.model.QwenConfig.Yarn;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RotaryTest {
    private static Yarn yarn(double factor) {
        return new Yarn(factor, 32768, 0.1 * Math.log(factor) + 1, 32, 1, true);
    }

    /** Worked by hand for base 10^6, training length 32,768 and factor 4. */
    @ParameterizedTest
    @CsvSource({
        "128, 0, 1, 1", "128, 1, 8.058421878e-1, 8.058421878e-1", "128, 23, 6.978305849e-3, 6.978305849e-3",
        "128, 24, 5.623413252e-3, 5.375321491e-3", "128, 25, 4.531583638e-3, 4.131738023e-3", "128, 30, 1.539926526e-3, 1.064360981e-3",
        "128, 31, 1.240937761e-3, 8.029597275e-4", "128, 32, 1e-3, 6.029411765e-4", "128, 35, 5.232991147e-4, 2.462584069e-4",
        "128, 38, 2.738419634e-4, 9.262301704e-5", "128, 39, 2.206734069e-4, 6.490394321e-5", "128, 40, 1.778279410e-4, 4.445698525e-5",
        "128, 41, 1.433012570e-4, 3.582531426e-5", "128, 63, 1.240937761e-6, 3.102344402e-7", "64, 11, 8.659643234e-3, 8.659643234e-3",
        "64, 12, 5.623413252e-3, 5.154795481e-3", "64, 15, 1.539926526e-3, 1.026617684e-3", "64, 16, 1e-3, 5.833333333e-4",
        "64, 19, 2.738419634e-4, 9.128065448e-5", "64, 20, 1.778279410e-4, 4.445698525e-5", "64, 31, 1.539926526e-6, 3.849816315e-7"
    })
    void frequencies(int headSize, int i, double plain, double stretched) {
        assertEquals(plain, plain(headSize).frequency(i), 1e-9 * plain);
        assertEquals(stretched, plain(headSize).stretch(yarn(4), 1e6).frequency(i), 1e-9 * stretched);
    }

    private static RotaryFrequencies plain(int headSize) {
        return RotaryFrequencies.plain(1e6, headSize);
    }

    @ParameterizedTest
    @CsvSource({"128, 23.5959, 39.6509, 23, 40", "64, 11.7980, 19.8254, 11, 20"})
    void borders(int headSize, double exactLow, double exactHigh, int low, int high) {
        Yarn exact = new Yarn(4, 32768, 1, 32, 1, false);
        assertEquals(exactLow, exact.low(1e6, headSize), 1e-4);
        assertEquals(exactHigh, exact.high(1e6, headSize), 1e-4);
        assertEquals(low, yarn(4).low(1e6, headSize));
        assertEquals(high, yarn(4).high(1e6, headSize));
    }

    @Test
    void factors() {
        assertEquals(1, plain(128).factor());
        assertEquals(1.138629436, plain(128).stretch(yarn(4), 1e6).factor(), 1e-9);
        assertEquals(1.069314718, plain(128).stretch(yarn(2), 1e6).factor(), 1e-9);
        assertEquals(1.207944154, plain(128).stretch(yarn(8), 1e6).factor(), 1e-9);
    }

    @Test
    void bordersCanStayUnrounded() {
        // Borders 23.5959 and 39.6509: dimension 32 lies (32 - 23.5959) / 16.0550 up the ramp.
        Yarn exact = new Yarn(4, 32768, 1, 32, 1, false);
        double ramp = (32 - 23.5959) / 16.0550;
        assertEquals(1e-3 * (1 - ramp + ramp / 4), plain(128).stretch(exact, 1e6).frequency(32), 1e-7 * 1e-3 * 100);
    }

    @Test
    void tablesHoldCosinesThenSinesOfEachTokensPosition() {
        try (Ops ops = new JavaOps(new OpsOptions(1, null))) {
            Batch batch = new Batch(ops, 4, 2, 40_000, 32);
            int[] pages = new int[40_000];
            batch.beginSequence(3, pages, 1);
            batch.addToken(0, false);
            batch.addToken(0, false);
            batch.beginSequence(1_000_000, pages, pages.length);
            batch.addToken(0, false);
            Rotary rotary = new Rotary(new Rope(1e6, yarn(4)), 64);
            Activation out = ops.activation(4, 64);
            rotary.fill(batch, out);
            int[] positions = {3, 4, 1_000_000};
            for (int t = 0; t < 3; t++) {
                for (int i = 0; i < 32; i++) {
                    double angle = positions[t] * plain(64).stretch(yarn(4), 1e6).frequency(i);
                    assertEquals((float) (1.138629436 * Math.cos(angle)), out.buffer().get(t * 64 + i), 2e-7);
                    assertEquals((float) (1.138629436 * Math.sin(angle)), out.buffer().get(t * 64 + 32 + i), 2e-7);
                }
            }
            assertEquals(0, out.buffer().get(3 * 64));
        }
    }
}
