package io.qwen4j.core.quant;

import io.qwen4j.WeightType;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Little-endian numbers without blocks. */
final class PlainCodec {
    private static final VarHandle FLOATS = MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);

    private PlainCodec() {}

    /** Single precision. */
    static final class F32 extends BlockwiseCodec {
        F32() {
            super(WeightType.F32);
        }

        @Override
        void decodeBlock(byte[] b, int at, float[] x, int to) {
            x[to] = (float) FLOATS.get(b, at);
        }

        @Override
        void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
            FLOATS.set(b, to, x[at]);
        }
    }

    /** Half precision. A finite value beyond the range becomes the largest finite half: an infinite weight would ruin every answer. */
    static final class F16 extends BlockwiseCodec {
        F16() {
            super(WeightType.F16);
        }

        @Override
        void decodeBlock(byte[] b, int at, float[] x, int to) {
            x[to] = HalfFloats.getF16(b, at);
        }

        @Override
        void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
            float value = x[at];
            HalfFloats.put16(b, to, Float.isFinite(value) ? HalfFloats.floatToFiniteF16(value) : HalfFloats.floatToF16(value));
        }
    }

    /** bfloat16. A finite value that would round to infinity becomes the largest finite bfloat16. */
    static final class Bf16 extends BlockwiseCodec {
        Bf16() {
            super(WeightType.BF16);
        }

        @Override
        void decodeBlock(byte[] b, int at, float[] x, int to) {
            x[to] = HalfFloats.bf16ToFloat(HalfFloats.get16(b, at));
        }

        @Override
        void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch) {
            int bits = HalfFloats.floatToBf16(x[at]);
            boolean overflow = (bits & 0x7fff) == 0x7f80 && Float.isFinite(x[at]);
            HalfFloats.put16(b, to, overflow ? bits - 1 : bits);
        }
    }
}
