package io.qwen4j.core.quant;

import io.qwen4j.WeightType;
import java.util.Arrays;

/**
 * {@code x = d s q - dmin m}: 16 groups of 16 values of 2 bits, with 4-bit scales s and minimums m.
 *
 * <p>Layout: 16 bytes, s in the low and m in the high nibble; 64 bytes of levels; halves d and dmin.
 */
final class Q2KCodec extends BlockwiseCodec {
    private static final int LEVELS_AT = 16;
    private static final int D_AT = 80;
    private static final int DMIN_AT = 82;

    Q2KCodec() {
        super(WeightType.Q2_K);
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at + D_AT);
        float dmin = HalfFloats.getF16(b, at + DMIN_AT);
        for (int g = 0; g < 16; g++) {
            float scale = d * (b[at + g] & 15);
            float minimum = dmin * (b[at + g] >> 4 & 15);
            for (int e = 16 * g; e < 16 * g + 16; e++) {
                x[to + e] = scale * twoBits(b, at + LEVELS_AT, e) - minimum;
            }
        }
    }

    /** Level of value e: four runs of 32 values share 32 bytes, one run in each pair of bits. */
    static int twoBits(byte[] b, int at, int e) {
        return b[at + 32 * (e / 128) + e % 32] >> 2 * (e % 128 / 32) & 3;
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        float largestScale = 0;
        float largestMinimum = 0;
        for (int g = 0; g < 16; g++) {
            ScaleSearch.importance(x, at + 16 * g, 16, scratch.importance);
            ScaleSearch.withMinimum(x, at + 16 * g, 16, 3, scratch.importance, -0.5, 16, scratch.scales, scratch.minimums, g);
            largestScale = Math.max(largestScale, scratch.scales[g]);
            largestMinimum = Math.max(largestMinimum, scratch.minimums[g]);
        }
        float d = ScaleSearch.store(b, to + D_AT, largestScale / 15);
        float dmin = ScaleSearch.store(b, to + DMIN_AT, largestMinimum / 15);
        Arrays.fill(b, to + LEVELS_AT, to + LEVELS_AT + 64, (byte) 0);
        for (int g = 0; g < 16; g++) {
            int s = ScaleSearch.steps(scratch.scales[g], d, 0, 15);
            int m = ScaleSearch.steps(scratch.minimums[g], dmin, 0, 15);
            b[to + g] = (byte) (s | m << 4);
            for (int e = 16 * g; e < 16 * g + 16; e++) {
                putTwoBits(b, to + LEVELS_AT, e, ScaleSearch.steps(x[at + e] + dmin * m, d * s, 0, 3));
            }
        }
    }

    /** Puts the level of value e into zeroed bytes; see {@link #twoBits}. */
    static void putTwoBits(byte[] b, int at, int e, int level) {
        b[at + 32 * (e / 128) + e % 32] |= (byte) (level << 2 * (e % 128 / 32));
    }
}
