package io.qwen4j.core.ops;

import java.nio.FloatBuffer;

/** A matrix of f32 values (rows, columns), row-major, owned by a backend and reused from step to step. */
public interface Activation extends AutoCloseable {
    /** Most rows. */
    int rows();

    /** Columns. */
    int columns();

    /**
     * The values as the host sees them; the same buffer object at every call, of {@code rows * columns} values in native order. Use
     * absolute gets and puts. On a CPU backend this is the memory that the operations use.
     */
    FloatBuffer buffer();

    /** Frees it. Idempotent; never while an operation uses it. */
    @Override
    void close();
}
