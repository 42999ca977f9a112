package io.qwen4j.core.ops;

import java.nio.IntBuffer;

/** An array of 32-bit integers that host and backend both see. */
public interface Ints extends AutoCloseable {
    /**
     * The integers; the same buffer object at every call, in native order. What an operation computed of them is there when this returns,
     * and what the host writes then is what the next operation reads.
     */
    IntBuffer buffer();

    /** Frees it. Idempotent; never while an operation uses it. */
    @Override
    void close();
}
