package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/** {@code x = d T[q]}: a half, then 16 bytes of nibbles as in Q4_0. */
final class Iq4NlCodec extends BlockwiseCodec {
    /** The 16 uneven steps T. */
    static final byte[] STEPS = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

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
        throw new UnsupportedOperationException();
    }
}
