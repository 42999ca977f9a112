package io.qwen4j.core.ops;

import io.qwen4j.InsufficientMemoryException;
import java.util.function.Supplier;

/** Takes heap memory with a typed error where there is none. */
final class HeapMemory {
    private HeapMemory() {}

    static <T> T allocate(String what, long bytes, Supplier<T> allocation) {
        try {
            return allocation.get();
        } catch (OutOfMemoryError e) {
            throw new InsufficientMemoryException("no heap memory for " + what + " of the Java backend; raise -Xmx", bytes, free());
        }
    }

    /** Bytes that the heap can still give, garbage not yet collected counted as taken. */
    static long free() {
        Runtime runtime = Runtime.getRuntime();
        return runtime.maxMemory() - runtime.totalMemory() + runtime.freeMemory();
    }

    /** Length of an array, checked. */
    static int length(long count) {
        // The largest array that every JDK can make is a few elements short of 2^31.
        if (count < 0 || count > Integer.MAX_VALUE - 8) {
            throw new IllegalArgumentException("an array of " + count + " elements is too large for the Java backend");
        }
        return (int) count;
    }
}
