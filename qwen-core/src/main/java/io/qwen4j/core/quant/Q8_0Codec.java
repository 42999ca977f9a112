package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/** {@code x = d q}: a half, then 32 signed bytes. */
final class Q8_0Codec extends BlockwiseCodec {
    Q8_0Codec() {
        super(WeightType.Q8_0);
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at);
        for (int i = 0; i < 32; i++) {
            x[to + i] = d * b[at + 2 + i];
        }
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        float largest = 0;
        for (int i = 0; i < 32; i++) {
            largest = Math.max(largest, Math.abs(x[at + i]));
        }
        float d = Math.min(largest / 127, HalfFloats.MAX_F16);
        float inverse = HalfFloats.putF16(b, to, d) == 0 ? 0 : 1 / d;
        for (int i = 0; i < 32; i++) {
            b[to + 2 + i] = (byte) Math.max(-127, Math.min(127, Math.rint(x[at + i] * inverse)));
        }
    }
}
