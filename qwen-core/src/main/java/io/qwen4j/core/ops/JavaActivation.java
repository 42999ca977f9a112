package io.qwen4j.core.ops;

import java.nio.FloatBuffer;

/** An activation on the heap. */
final class JavaActivation implements Activation {
    /** The values, row-major. */
    final float[] values;

    private final int rows;
    private final int columns;
    private final FloatBuffer buffer;

    JavaActivation(int rows, int columns) {
        if (rows < 1 || columns < 1) {
            throw new IllegalArgumentException("an activation of " + rows + " x " + columns);
        }
        this.rows = rows;
        this.columns = columns;
        long count = (long) rows * columns;
        values = HeapMemory.allocate("activations", 4 * count, () -> new float[HeapMemory.length(count)]);
        buffer = FloatBuffer.wrap(values);
    }

    @Override
    public int rows() {
        return rows;
    }

    @Override
    public int columns() {
        return columns;
    }

    @Override
    public FloatBuffer buffer() {
        return buffer;
    }

    @Override
    public void close() {
        // The garbage collector frees it.
    }
}
