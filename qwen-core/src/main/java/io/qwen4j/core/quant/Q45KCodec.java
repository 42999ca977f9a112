package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/**
 * Q4_K and Q5_K: {@code x = d s q - dmin m}: 8 groups of 32 values of 4 or 5 bits, with 6-bit scales s and minimums m.
 *
 * <p>Layout: halves d and dmin; 12 bytes of scales and minimums; in Q5_K 32 bytes of fifth bits, bit j of byte e % 32 for group j; 128 bytes of
 * nibbles, groups 2i and 2i + 1 in the low and high nibbles of the same 32 bytes.
 */
final class Q45KCodec extends BlockwiseCodec {
    private static final int SCALES_AT = 4;
    private static final int FIFTH_AT = 16;

    private final boolean fiveBits;
    private final int nibblesAt;

    Q45KCodec(WeightType type) {
        super(type);
        fiveBits = type == WeightType.Q5_K;
        nibblesAt = fiveBits ? 48 : 16;
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at);
        float dmin = HalfFloats.getF16(b, at + 2);
        for (int j = 0; j < 8; j++) {
            float scale = d * scale(b, at + SCALES_AT, j);
            float minimum = dmin * minimum(b, at + SCALES_AT, j);
            for (int i = 0; i < 32; i++) {
                int q = b[at + nibblesAt + 32 * (j / 2) + i] >> 4 * (j & 1) & 15;
                if (fiveBits) {
                    q |= (b[at + FIFTH_AT + i] >> j & 1) << 4;
                }
                x[to + 32 * j + i] = scale * q - minimum;
            }
        }
    }

    /** Scale of group j: six bits of byte j, or a low nibble with the upper two bits elsewhere. */
    private static int scale(byte[] k, int at, int j) {
        return j < 4 ? k[at + j] & 63 : k[at + j + 4] & 15 | (k[at + j - 4] >> 6 & 3) << 4;
    }

    /** Minimum of group j. */
    private static int minimum(byte[] k, int at, int j) {
        return j < 4 ? k[at + j + 4] & 63 : k[at + j + 4] >> 4 & 15 | (k[at + j] >> 6 & 3) << 4;
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        throw new UnsupportedOperationException();
    }
}
