package io.qwen4j.core.quant;

import io.qwen4j.WeightType;
import java.util.Arrays;

/**
 * Q4_K and Q5_K: {@code x = d s q - dmin m}: 8 groups of 32 values of 4 or 5 bits, with 6-bit scales s and minimums m.
 *
 * <p>Layout: halves d and dmin; 12 bytes of scales and minimums; in Q5_K 32 bytes of fifth bits, bit j of byte e % 32 for group j; 128
 * bytes of nibbles, groups 2i and 2i + 1 in the low and high nibbles of the same 32 bytes.
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
        int top = fiveBits ? 31 : 15;
        float largestScale = 0;
        float largestMinimum = 0;
        for (int j = 0; j < 8; j++) {
            ScaleSearch.importance(x, at + 32 * j, 32, scratch.importance);
            ScaleSearch.withMinimum(x, at + 32 * j, 32, top, scratch.importance, fiveBits ? -0.5 : -1, fiveBits ? 16 : 21,
                    scratch.scales, scratch.minimums, j);
            largestScale = Math.max(largestScale, scratch.scales[j]);
            largestMinimum = Math.max(largestMinimum, scratch.minimums[j]);
        }
        float d = ScaleSearch.store(b, to, largestScale / 63);
        float dmin = ScaleSearch.store(b, to + 2, largestMinimum / 63);
        Arrays.fill(b, to + SCALES_AT, to + nibblesAt + 128, (byte) 0);
        for (int j = 0; j < 8; j++) {
            int s = ScaleSearch.steps(scratch.scales[j], d, 0, 63);
            int m = ScaleSearch.steps(scratch.minimums[j], dmin, 0, 63);
            putScales(b, to + SCALES_AT, j, s, m);
            for (int i = 0; i < 32; i++) {
                int q = ScaleSearch.steps(x[at + 32 * j + i] + dmin * m, d * s, 0, top);
                b[to + nibblesAt + 32 * (j / 2) + i] |= (byte) ((q & 15) << 4 * (j & 1));
                if (fiveBits) {
                    b[to + FIFTH_AT + i] |= (byte) (q >> 4 << j);
                }
            }
        }
    }

    /** Puts scale and minimum of group j into zeroed bytes. */
    private static void putScales(byte[] k, int at, int j, int scale, int minimum) {
        if (j < 4) {
            k[at + j] |= (byte) scale;
            k[at + j + 4] |= (byte) minimum;
        } else {
            k[at + j + 4] |= (byte) (scale & 15 | (minimum & 15) << 4);
            k[at + j - 4] |= (byte) (scale >> 4 << 6);
            k[at + j] |= (byte) (minimum >> 4 << 6);
        }
    }
}
