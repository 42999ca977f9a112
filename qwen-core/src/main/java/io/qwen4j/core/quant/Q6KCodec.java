package io.qwen4j.core.quant;

import io.qwen4j.WeightType;
import java.util.Arrays;

/**
 * {@code x = d s (q - 32)}: 16 groups of 16 values of 6 bits, with signed 8-bit scales s.
 *
 * <p>Layout: 128 bytes with the lower four bits of the levels; 64 bytes with their upper two; 16 scales; half d.
 */
final class Q6KCodec extends BlockwiseCodec {
    private static final int HIGH_AT = 128;
    private static final int SCALES_AT = 192;
    private static final int D_AT = 208;

    Q6KCodec() {
        super(WeightType.Q6_K);
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at + D_AT);
        for (int e = 0; e < 256; e++) {
            int half = e / 128;
            int run = e % 128 / 32;
            int low = b[at + 64 * half + 32 * (run & 1) + e % 32] >> 4 * (run >> 1) & 15;
            int high = b[at + HIGH_AT + 32 * half + e % 32] >> 2 * run & 3;
            x[to + e] = d * b[at + SCALES_AT + e / 16] * ((low | high << 4) - 32);
        }
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        float extreme = 0;
        for (int g = 0; g < 16; g++) {
            float scale = ScaleSearch.symmetric(x, at + 16 * g, 16, 32);
            scratch.scales[g] = scale;
            extreme = Math.abs(scale) > Math.abs(extreme) ? scale : extreme;
        }
        float d = ScaleSearch.store(b, to + D_AT, extreme / -128);
        Arrays.fill(b, to, to + SCALES_AT, (byte) 0);
        for (int g = 0; g < 16; g++) {
            int s = ScaleSearch.steps(scratch.scales[g], d, -128, 127);
            b[to + SCALES_AT + g] = (byte) s;
            for (int e = 16 * g; e < 16 * g + 16; e++) {
                int q = ScaleSearch.steps(x[at + e], d * s, -32, 31) + 32;
                int half = e / 128;
                int run = e % 128 / 32;
                b[to + 64 * half + 32 * (run & 1) + e % 32] |= (byte) ((q & 15) << 4 * (run >> 1));
                b[to + HIGH_AT + 32 * half + e % 32] |= (byte) (q >> 4 << 2 * run);
            }
        }
    }
}
