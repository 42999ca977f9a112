package io.qwen4j.core.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.WeightType;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class EncodeTest {
    private static final int N = 256 * 200;

    private static float[] gaussian(long seed, double deviation) {
        Random random = new Random(seed);
        float[] x = new float[N];
        for (int i = 0; i < N; i++) {
            x[i] = (float) (random.nextGaussian() * deviation);
        }
        return x;
    }

    private static float[] roundTrip(WeightType type, float[] x) {
        byte[] blocks = new byte[(int) type.rowBytes(x.length)];
        // Whatever was in the bytes before must not shine through.
        Arrays.fill(blocks, (byte) 0xa5);
        BlockCodec.of(type).encode(x, 0, blocks, 0, x.length);
        float[] y = new float[x.length];
        BlockCodec.of(type).decode(blocks, 0, y, 0, x.length);
        return y;
    }

    /** Root mean square of the difference relative to that of the values. */
    private static double error(float[] x, float[] y) {
        double difference = 0;
        double size = 0;
        for (int i = 0; i < x.length; i++) {
            assertTrue(Float.isFinite(y[i]), "value " + i + " is " + y[i]);
            difference += Math.pow((double) x[i] - y[i], 2);
            size += (double) x[i] * x[i];
        }
        return Math.sqrt(difference / size);
    }

    // Measured on Gaussian values, and 2 % of room. Encoding decoded values again changes them by at most the last column.
    @ParameterizedTest
    @CsvSource({
        "F32, 0, 0", "F16, 0.00021, 0", "BF16, 0.0017, 0", "Q8_0, 0.0055, 1e-6", "Q4_0, 0.088, 1e-6", "Q4_1, 0.080, 1e-6",
        "Q5_0, 0.0436, 1e-6", "Q5_1, 0.0386, 1e-6", "Q2_K, 0.292, 0.02", "Q3_K, 0.157, 0.01", "Q4_K, 0.0732, 0.002", "Q5_K, 0.0371, 0.01",
        "Q6_K, 0.0181, 0.002", "IQ4_NL, 0.0777, 1e-6", "IQ4_XS, 0.0784, 0.003", "INT4_G32, 0.0812, 0.005", "INT4_G128, 0.102, 0.005",
        "INT8_G32, 0.0048, 0.001", "INT8_G128, 0.006, 0.001"
    })
    void staysWithinTheMeasuredError(WeightType type, double bound, double again) {
        for (double deviation : new double[] {0.02, 1, 500}) {
            float[] x = gaussian(42, deviation);
            float[] y = roundTrip(type, x);
            assertTrue(error(x, y) <= bound, () -> type + " at " + deviation + ": " + error(x, y));
            float[] z = roundTrip(type, y);
            assertTrue(error(y, z) <= again, () -> type + " again at " + deviation + ": " + error(y, z));
        }
    }

    @ParameterizedTest
    @EnumSource
    void zerosStayZeros(WeightType type) {
        for (float y : roundTrip(type, new float[512])) {
            assertEquals(0f, y, 0f);
        }
    }

    @ParameterizedTest
    @EnumSource
    void constantBlocksStayConstant(WeightType type) {
        for (float constant : new float[] {0.75f, -0.75f, 1e-3f, -300, 12345}) {
            float[] x = new float[512];
            Arrays.fill(x, constant);
            // A block of one value needs its scale only: what remains is the rounding of halves (of subnormal ones for 0.001) and of the
            // scales of groups.
            double bound = constant == 1e-3f ? 0.011 : 0.005;
            assertTrue(error(x, roundTrip(type, x)) < bound, () -> type + " " + constant + ": " + error(x, roundTrip(type, x)));
        }
    }

    @ParameterizedTest
    @EnumSource
    void oneLargeValueAmongSmallOnesSurvives(WeightType type) {
        for (float large : new float[] {100, -100}) {
            for (int place : new int[] {0, 15, 16, 31, 32, 255, 300}) {
                float[] x = gaussian(7, 0.01);
                x = Arrays.copyOf(x, 512);
                x[place] = large;
                assertEquals(large, roundTrip(type, x)[place], 1, type + " at " + place);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void extremeValuesGiveFiniteNumbers(WeightType type) {
        float[] sizes = {Float.MAX_VALUE, 1e30f, 1e8f, 65504, 1e-5f, 1e-7f, 1e-20f, Float.MIN_NORMAL, Float.MIN_VALUE};
        for (float size : sizes) {
            float[] x = Arrays.copyOf(gaussian(3, 0.3), 256 * 20);
            for (int i = 0; i < x.length; i++) {
                x[i] = Math.max(-1, Math.min(1, x[i])) * size;
            }
            for (float y : roundTrip(type, x)) {
                assertTrue(Float.isFinite(y) && Math.abs(y) <= 1.2 * Math.max(size, 0x1p-20f), type + " of " + size + ": " + y);
            }
        }
    }

    @Test
    void plainTypesKeepSignsAndSaturate() {
        float[] x = {-0f, 65519, 65520, 1e6f, -1e6f, Float.MAX_VALUE, 0x1p-24f, 0x1p-25f};
        assertArrayEquals(new float[] {-0f, 65504, 65504, 65504, -65504, 65504, 0x1p-24f, 0}, roundTrip(WeightType.F16, x));
        assertEquals(Float.intBitsToFloat(0x7f7f0000), roundTrip(WeightType.BF16, x)[5]);
    }

    @Test
    void q8FollowsTheReferenceFormula() {
        float[] x = gaussian(11, 0.05);
        byte[] blocks = new byte[(int) WeightType.Q8_0.rowBytes(N)];
        BlockCodec.of(WeightType.Q8_0).encode(x, 0, blocks, 0, N);
        for (int b = 0; b < N / 32; b++) {
            float largest = 0;
            for (int i = 0; i < 32; i++) {
                largest = Math.max(largest, Math.abs(x[32 * b + i]));
            }
            float d = largest / 127;
            assertEquals(HalfFloats.floatToF16(d), HalfFloats.get16(blocks, 34 * b));
            for (int i = 0; i < 32; i++) {
                assertEquals((byte) Math.rint(x[32 * b + i] * (1 / d)), blocks[34 * b + 2 + i]);
            }
        }
    }

    @Test
    void q4GivesTheExtremeValueTheUnpairedLevel() {
        for (float extreme : new float[] {-2, 2}) {
            float[] x = new float[32];
            for (int i = 0; i < 32; i++) {
                x[i] = i / 31f;
            }
            x[20] = extreme;
            byte[] block = new byte[18];
            BlockCodec.of(WeightType.Q4_0).encode(x, 0, block, 0, 32);
            assertEquals(HalfFloats.floatToF16(extreme / -8), HalfFloats.get16(block, 0));
            assertEquals(0, block[2 + 4] >> 4 & 15);
        }
    }
}
