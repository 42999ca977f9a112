package io.qwen4j.core.testing;

import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;

/** A tensor in memory. */
public record BytesTensor(String name, WeightType type, long rows, long columns, byte[] bytes) implements TensorSource {
    /** Encodes values. */
    public static BytesTensor of(String name, WeightType type, int rows, int columns, float[] values) {
        byte[] bytes = new byte[Math.toIntExact(rows * type.rowBytes(columns))];
        BlockCodec.of(type).encode(values, 0, bytes, 0, rows * columns);
        return new BytesTensor(name, type, rows, columns, bytes);
    }

    /** All values, decoded. */
    public float[] values() {
        float[] out = new float[Math.toIntExact(rows * columns)];
        BlockCodec.of(type).decode(bytes, 0, out, 0, out.length);
        return out;
    }

    @Override
    public void read(long offset, ByteBuffer target) {
        target.put(bytes, Math.toIntExact(offset), target.remaining());
    }
}
