package io.qwen4j.core.quant;

/** Conversions between f32 and the 16-bit formats, rounding to nearest, ties to even. */
public final class HalfFloats {
    /** Largest finite half. */
    public static final float MAX_F16 = 65504;

    private HalfFloats() {}

    /** The value of a half; subnormal halves, infinities and NaN included. */
    public static float f16ToFloat(int half) {
        int sign = (half & 0x8000) << 16;
        int exponent = (half >>> 10) & 31;
        int mantissa = half & 0x3ff;
        if (exponent == 0) {
            float magnitude = mantissa * 0x1p-24f;
            return sign != 0 ? -magnitude : magnitude;
        }
        int high = exponent == 31 ? 0x7f800000 : (exponent + 112) << 23;
        return Float.intBitsToFloat(sign | high | mantissa << 13);
    }

    /** The nearest half in the lower 16 bits; infinity from 65520 on, NaN stays NaN. */
    public static int floatToF16(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = (bits >>> 16) & 0x8000;
        int magnitude = bits & 0x7fffffff;
        if (magnitude > 0x7f800000) {
            return sign | 0x7e00 | (magnitude >>> 13) & 0x1ff;
        }
        if (magnitude >= 0x477ff000) {
            return sign | 0x7c00;
        }
        if (magnitude < 0x38800000) {
            // Below 2^-14 a half is a multiple of 2^-24; 1024 of them are the smallest normal half, whose bits follow on.
            return sign | (int) Math.rint(Float.intBitsToFloat(magnitude) * 0x1p24f);
        }
        return sign | (magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    }

    /** As {@link #floatToF16}, but values beyond the largest finite half become that one. */
    static int floatToFiniteF16(float value) {
        return floatToF16(Math.max(-MAX_F16, Math.min(MAX_F16, value)));
    }

    /** The value of a bfloat16. */
    public static float bf16ToFloat(int bf16) {
        return Float.intBitsToFloat(bf16 << 16);
    }

    /** The nearest bfloat16 in the lower 16 bits; NaN stays NaN. */
    public static int floatToBf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if ((bits & 0x7fffffff) > 0x7f800000) {
            return (bits >>> 16) | 0x40;
        }
        return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
    }

    /** Reads 16 little-endian bits. */
    static int get16(byte[] bytes, int at) {
        return bytes[at] & 255 | (bytes[at + 1] & 255) << 8;
    }

    /** Writes 16 little-endian bits. */
    static void put16(byte[] bytes, int at, int value) {
        bytes[at] = (byte) value;
        bytes[at + 1] = (byte) (value >>> 8);
    }

    /** Reads a little-endian half. */
    static float getF16(byte[] bytes, int at) {
        return f16ToFloat(get16(bytes, at));
    }

    /** Writes the nearest finite half and returns its value. */
    static float putF16(byte[] bytes, int at, float value) {
        int half = floatToFiniteF16(value);
        put16(bytes, at, half);
        return f16ToFloat(half);
    }
}
