package io.qwen4j.core.ops;

import java.nio.IntBuffer;

/** Integers on the heap. */
final class JavaInts implements Ints {
    private final IntBuffer buffer;

    JavaInts(int count) {
        buffer = HeapMemory.allocate("a batch", 4L * count, () -> IntBuffer.allocate(count));
    }

    @Override
    public IntBuffer buffer() {
        return buffer;
    }

    @Override
    public void close() {
        // The garbage collector frees it.
    }
}
