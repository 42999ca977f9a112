package io.qwen4j.natives;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Compares results with a bound relative to the standard deviation of what is expected, and names the worst element. */
final class Tolerance {
    private Tolerance() {}

    static void assertClose(float[] expected, float[] actual, double bound, String what) {
        assertEquals(expected.length, actual.length, what);
        double squares = 0;
        int worst = 0;
        double worstError = -1;
        for (int i = 0; i < expected.length; i++) {
            squares += (double) expected[i] * expected[i];
            double error = Math.abs((double) expected[i] - actual[i]);
            if (Double.isNaN(error)) {
                error = Float.isNaN(expected[i]) && Float.isNaN(actual[i]) || expected[i] == actual[i] ? 0 : Double.POSITIVE_INFINITY;
            }
            if (error > worstError) {
                worstError = error;
                worst = i;
            }
        }
        double deviation = Math.sqrt(squares / expected.length);
        int at = worst;
        double allowed = bound * deviation;
        double error = worstError;
        assertTrue(error <= allowed, () -> what + ": element " + at + " of " + expected.length + " is " + actual[at] + ", expected "
                + expected[at] + "; error " + error + " is above " + bound + " of the deviation " + deviation);
    }

    static void assertSameBits(float[] expected, float[] actual, String what) {
        assertEquals(expected.length, actual.length, what);
        for (int i = 0; i < expected.length; i++) {
            if (Float.floatToIntBits(expected[i]) != Float.floatToIntBits(actual[i])) {
                assertEquals(expected[i], actual[i], 0f, what + ": element " + i + " of " + expected.length);
            }
        }
    }
}
