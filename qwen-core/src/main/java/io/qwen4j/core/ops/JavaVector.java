package io.qwen4j.core.ops;

import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.List;

/** A vector as f32. */
final class JavaVector implements Weight {
    /** The values. */
    final float[] values;

    JavaVector(List<TensorSource> sources) {
        long count = 0;
        for (TensorSource source : sources) {
            if (source.rows() != 1 || source.type().isQuantized()) {
                throw new IllegalArgumentException(
                        source.name() + " is no vector of plain numbers: " + source.rows() + " rows of " + source.type());
            }
            count = Math.addExact(count, source.columns());
        }
        int length = HeapMemory.length(count);
        if (length == 0) {
            throw new IllegalArgumentException("a vector of no values");
        }
        values = HeapMemory.allocate("a vector", 4L * length, () -> new float[length]);
        int at = 0;
        for (TensorSource source : sources) {
            byte[] bytes = new byte[HeapMemory.length(source.byteSize())];
            source.read(0, ByteBuffer.wrap(bytes));
            BlockCodec.of(source.type()).decode(bytes, 0, values, at, (int) source.columns());
            at += (int) source.columns();
        }
    }

    @Override
    public int rows() {
        return 1;
    }

    @Override
    public int columns() {
        return values.length;
    }

    @Override
    public long bytes() {
        return 4L * values.length;
    }

    @Override
    public void close() {
        // The garbage collector frees it.
    }
}
