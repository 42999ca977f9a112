package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/**
 * The blocks of GPTQ and AWQ checkpoints: {@code x = d (q - z)} for 32 or 128 values. The product is exact in f32: 11 bits times 9.
 *
 * <p>Layout: half d; byte z; the codes, 8 bits each, or 4 bits as in Q4_0 for each 32 values.
 */
final class GroupCodec extends BlockwiseCodec {
    private static final int ZERO_AT = 2;
    private static final int CODES_AT = 3;

    private final int size;
    private final boolean fourBits;

    GroupCodec(WeightType type) {
        super(type);
        size = type.blockSize();
        fourBits = type == WeightType.INT4_G32 || type == WeightType.INT4_G128;
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at);
        int z = b[at + ZERO_AT] & 255;
        for (int i = 0; i < size; i++) {
            int place = at + CODES_AT + (fourBits ? i / 32 * 16 + i % 16 : i);
            int q = fourBits ? b[place] >> i % 32 / 16 * 4 & 15 : b[place] & 255;
            x[to + i] = d * (q - z);
        }
    }

    /** The lowest value gets code 0 and the highest the last one, zero lying among them. */
    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        int top = fourBits ? 15 : 255;
        float low = 0;
        float high = 0;
        for (int i = at; i < at + size; i++) {
            low = Math.min(low, x[i]);
            high = Math.max(high, x[i]);
        }
        float d = HalfFloats.putF16(b, to, (float) (((double) high - low) / top));
        int z = d == 0 ? 0 : (int) Math.min(top, Math.rint(-low / d));
        b[to + ZERO_AT] = (byte) z;
        for (int i = 0; i < size; i++) {
            int q = ScaleSearch.steps(x[at + i], d, -z, top - z) + z;
            if (!fourBits) {
                b[to + CODES_AT + i] = (byte) q;
            } else {
                int place = to + CODES_AT + i / 32 * 16 + i % 16;
                b[place] = (byte) (i % 32 < 16 ? q : b[place] | q << 4);
            }
        }
    }
}
