package io.qwen4j.natives;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Owner of a native object. Uses are counted: closing while an operation runs on another thread frees the object when that operation ends, and
 * a use after closing is an exception instead of a read of freed memory.
 */
abstract class NativeResource implements AutoCloseable {
    private static final long CLOSED = 1L << 62;

    private final long handle;
    // Uses in progress, plus CLOSED.
    private final AtomicLong state = new AtomicLong();

    NativeResource(long handle) {
        this.handle = handle;
    }

    /** What this is, for messages. */
    abstract String what();

    /** Frees the native object; called once. */
    abstract void free(long handle);

    /** Begins a use; {@link #release()} must follow. */
    final long acquire() {
        while (true) {
            long s = state.get();
            if (s >= CLOSED) {
                throw new IllegalStateException(what() + " is closed");
            }
            if (state.compareAndSet(s, s + 1)) {
                return handle;
            }
        }
    }

    final void release() {
        if (state.decrementAndGet() == CLOSED) {
            free(handle);
        }
    }

    final boolean isClosed() {
        return state.get() >= CLOSED;
    }

    @Override
    public final void close() {
        while (true) {
            long s = state.get();
            if (s >= CLOSED) {
                return;
            }
            if (state.compareAndSet(s, s | CLOSED)) {
                if (s == 0) {
                    free(handle);
                }
                return;
            }
        }
    }
}
