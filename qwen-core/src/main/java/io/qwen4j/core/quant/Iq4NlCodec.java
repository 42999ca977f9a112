package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/** {@code x = d T[q]}: a half, then 16 bytes of nibbles as in Q4_0. */
final class Iq4NlCodec extends BlockwiseCodec {
    /** The 16 uneven steps T. */
    static final byte[] STEPS = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

    /** Index of the nearest step of each half unit from -128 on; the borders between steps lie at whole and half numbers. */
    private static final byte[] NEAREST = new byte[512];

    static {
        int index = 0;
        for (int i = 0; i < NEAREST.length; i++) {
            double x = (i - 256 + 0.5) / 2;
            while (index < 15 && 2 * x > STEPS[index] + STEPS[index + 1]) {
                index++;
            }
            NEAREST[i] = (byte) index;
        }
    }

    Iq4NlCodec() {
        super(WeightType.IQ4_NL);
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        decodeSteps(b, at + 2, HalfFloats.getF16(b, at), x, to);
    }

    /** Decodes 16 bytes of nibbles into 32 values. */
    static void decodeSteps(byte[] b, int at, float d, float[] x, int to) {
        for (int i = 0; i < 16; i++) {
            x[to + i] = d * STEPS[b[at + i] & 15];
            x[to + 16 + i] = d * STEPS[b[at + i] >> 4 & 15];
        }
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        float d = ScaleSearch.store(b, to, scale(x, at));
        encodeSteps(x, at, d, b, to + 2);
    }

    /** Encodes 32 values into 16 bytes of nibbles. */
    static void encodeSteps(float[] x, int at, float d, byte[] b, int to) {
        double inverse = d == 0 ? 0 : 1.0 / d;
        for (int i = 0; i < 16; i++) {
            b[to + i] = (byte) (nearest(x[at + i] * inverse) | nearest(x[at + 16 + i] * inverse) << 4);
        }
    }

    /**
     * The best scale of 32 values, of either sign; the importance of a value is its square. The extreme value is put at 15 places around
     * each end of the steps.
     */
    static float scale(float[] x, int at) {
        float extreme = ScaleSearch.extreme(x, at, 32);
        if (Math.abs(extreme) < 1e-12f) {
            return 0;
        }
        double best = -1;
        double scale = 0;
        for (int end = 0; end < STEPS.length; end += STEPS.length - 1) {
            for (int place = -7; place <= 7; place++) {
                double inverse = (STEPS[end] + place) / (double) extreme;
                double products = 0;
                double squares = 0;
                for (int i = at; i < at + 32; i++) {
                    double v = x[i];
                    int q = STEPS[nearest(v * inverse)];
                    double w = v * v * q;
                    products += w * v;
                    squares += w * q;
                }
                if (squares > 0 && products * products > best * squares) {
                    best = products * products / squares;
                    scale = products / squares;
                }
            }
        }
        return (float) scale;
    }

    /** Index of the step nearest to a number. */
    private static int nearest(double x) {
        return NEAREST[(int) Math.max(0, Math.min(NEAREST.length - 1, Math.floor(2 * x) + 256))];
    }
}
