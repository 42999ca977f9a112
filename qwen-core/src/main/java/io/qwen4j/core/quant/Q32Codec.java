package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/**
 * Q4_0, Q4_1, Q5_0 and Q5_1: {@code x = d (q - middle)} or {@code x = d q + m} for 32 values.
 *
 * <p>Layout: half d; half m (in _1 types); 32 fifth bits (in Q5 types); 16 bytes of nibbles, value e < 16 in the low nibble of byte e,
 * value e >= 16 in the high nibble of byte e - 16.
 */
final class Q32Codec extends BlockwiseCodec {
    private final int bits;
    private final boolean hasMinimum;
    private final int fifthAt;
    private final int nibblesAt;

    Q32Codec(WeightType type, int bits, boolean hasMinimum) {
        super(type);
        this.bits = bits;
        this.hasMinimum = hasMinimum;
        fifthAt = hasMinimum ? 4 : 2;
        nibblesAt = bits == 5 ? fifthAt + 4 : fifthAt;
    }

    @Override
    void decodeBlock(byte[] b, int at, float[] x, int to) {
        float d = HalfFloats.getF16(b, at);
        float m = hasMinimum ? HalfFloats.getF16(b, at + 2) : 0;
        int middle = hasMinimum ? 0 : 1 << (bits - 1);
        int fifth = bits == 5 ? HalfFloats.get16(b, at + fifthAt) | HalfFloats.get16(b, at + fifthAt + 2) << 16 : 0;
        for (int i = 0; i < 32; i++) {
            int nibble = (b[at + nibblesAt + (i & 15)] >> (i >> 4) * 4) & 15;
            int q = (nibble | (fifth >>> i & 1) << 4) - middle;
            x[to + i] = hasMinimum ? d * q + m : d * q;
        }
    }

    @Override
    void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
        int top = (1 << bits) - 1;
        float low = x[at];
        float high = x[at];
        float largest = x[at];
        for (int i = 1; i < 32; i++) {
            float v = x[at + i];
            low = Math.min(low, v);
            high = Math.max(high, v);
            largest = Math.abs(v) > Math.abs(largest) ? v : largest;
        }
        float limit = HalfFloats.MAX_F16;
        // Without a minimum the value of the largest magnitude gets level 0, the one level without a mirror image.
        float d = hasMinimum ? (high - low) / top : largest / -(1 << (bits - 1));
        d = Math.max(-limit, Math.min(limit, d));
        float origin = 0;
        float shift = (1 << (bits - 1)) + 0.5f;
        float inverse = HalfFloats.putF16(b, to, d) == 0 ? 0 : 1 / d;
        if (hasMinimum) {
            HalfFloats.putF16(b, to + 2, low);
            origin = Math.max(-limit, Math.min(limit, low));
            shift = 0.5f;
        }
        int fifth = 0;
        for (int i = 0; i < 32; i++) {
            int q = Math.max(0, Math.min(top, (int) ((x[at + i] - origin) * inverse + shift)));
            fifth |= (q >> 4) << i;
            int place = to + nibblesAt + (i & 15);
            b[place] = (byte) (i < 16 ? q & 15 : b[place] | (q & 15) << 4);
        }
        if (bits == 5) {
            HalfFloats.put16(b, to + fifthAt, fifth);
            HalfFloats.put16(b, to + fifthAt + 2, fifth >>> 16);
        }
    }
}
