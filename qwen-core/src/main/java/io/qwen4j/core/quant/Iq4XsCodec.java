package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/**
 * {@code x = d (s - 32) T[q]}: 8 groups of 32 values with 6-bit scales s.
 *
 * <p>Layout: half d; 16 bits with the upper two bits of the eight scales; 4 bytes with their lower four; 128 bytes of nibbles, 16 a group.
 */
final class Iq4XsCodec extends BlockwiseCodec {
    Iq4XsCodec() {
        super(WeightType.IQ4_XS);
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at);
        int high = HalfFloats.get16(b, at + 2);
        for (int j = 0; j < 8; j++) {
            int scale = b[at + 4 + j / 2] >> 4 * (j & 1) & 15 | (high >> 2 * j & 3) << 4;
            Iq4NlCodec.decodeSteps(b, at + 8 + 16 * j, d * (scale - 32), x, to + 32 * j);
        }
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        float extreme = 0;
        for (int j = 0; j < 8; j++) {
            float scale = Iq4NlCodec.scale(x, at + 32 * j);
            scratch.scales[j] = scale;
            extreme = Math.abs(scale) > Math.abs(extreme) ? scale : extreme;
        }
        float d = ScaleSearch.store(b, to, extreme / -32);
        int high = 0;
        for (int j = 0; j < 8; j++) {
            int s = ScaleSearch.steps(scratch.scales[j], d, -32, 31);
            high |= (s + 32 >> 4) << 2 * j;
            int low = s + 32 & 15;
            b[to + 4 + j / 2] = (byte) (j % 2 == 0 ? low : b[to + 4 + j / 2] | low << 4);
            Iq4NlCodec.encodeSteps(x, at + 32 * j, d * s, b, to + 8 + 16 * j);
        }
        HalfFloats.put16(b, to + 2, high);
    }
}
