package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/**
 * {@code x = d (s - 32) (q - 4)}: 16 groups of 16 values of 3 bits, with 6-bit scales s.
 *
 * <p>Layout: 32 bytes with the upper bit of the levels; 64 bytes with their lower two bits as in Q2_K; 12 bytes of scales, the lower four bits of
 * scale g in a nibble of byte g % 8, the upper two in byte 8 + g % 4; half d.
 */
final class Q3KCodec extends BlockwiseCodec {
    private static final int LEVELS_AT = 32;
    private static final int SCALES_AT = 96;
    private static final int D_AT = 108;

    Q3KCodec() {
        super(WeightType.Q3_K);
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at + D_AT);
        for (int g = 0; g < 16; g++) {
            int low = b[at + SCALES_AT + g % 8] >> 4 * (g / 8) & 15;
            int high = b[at + SCALES_AT + 8 + g % 4] >> 2 * (g / 4) & 3;
            float scale = d * ((low | high << 4) - 32);
            for (int e = 16 * g; e < 16 * g + 16; e++) {
                int upper = b[at + e % 32] >> e / 32 & 1;
                x[to + e] = scale * ((Q2KCodec.twoBits(b, at + LEVELS_AT, e) | upper << 2) - 4);
            }
        }
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        throw new UnsupportedOperationException();
    }
}
