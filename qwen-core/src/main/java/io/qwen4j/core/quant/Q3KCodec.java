package io.qwen4j.core.quant;

import io.qwen4j.WeightType;
import java.util.Arrays;

/**
 * {@code x = d (s - 32) (q - 4)}: 16 groups of 16 values of 3 bits, with 6-bit scales s.
 *
 * <p>Layout: 32 bytes with the upper bit of the levels; 64 bytes with their lower two bits as in Q2_K; 12 bytes of scales, the lower four
 * bits of scale g in a nibble of byte g % 8, the upper two in byte 8 + g % 4; half d.
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
        float extreme = 0;
        for (int g = 0; g < 16; g++) {
            float scale = ScaleSearch.symmetric(x, at + 16 * g, 16, 4);
            scratch.scales[g] = scale;
            extreme = Math.abs(scale) > Math.abs(extreme) ? scale : extreme;
        }
        float d = ScaleSearch.store(b, to + D_AT, extreme / -32);
        Arrays.fill(b, to, to + D_AT, (byte) 0);
        for (int g = 0; g < 16; g++) {
            int s = ScaleSearch.steps(scratch.scales[g], d, -32, 31);
            b[to + SCALES_AT + g % 8] |= (byte) ((s + 32 & 15) << 4 * (g / 8));
            b[to + SCALES_AT + 8 + g % 4] |= (byte) ((s + 32 >> 4) << 2 * (g / 4));
            for (int e = 16 * g; e < 16 * g + 16; e++) {
                int q = ScaleSearch.steps(x[at + e], d * s, -4, 3) + 4;
                Q2KCodec.putTwoBits(b, to + LEVELS_AT, e, q & 3);
                b[to + e % 32] |= (byte) (q >> 2 << e / 32);
            }
        }
    }
}
