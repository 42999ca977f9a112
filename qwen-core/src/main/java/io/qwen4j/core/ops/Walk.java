package io.qwen4j.core.ops;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Operations of a step, to be called in their order; see {@link Ops#repeat}. Two walks are the same only if they are one object.
 *
 * <p>Not thread-safe: the engine thread owns it.
 */
public abstract class Walk {
    private static final AtomicLong MADE = new AtomicLong();

    private final long id = MADE.incrementAndGet();

    /** Made by whoever knows the operations. */
    protected Walk() {}

    /** A number above 0 that no other walk of this process has. */
    public final long id() {
        return id;
    }

    /** Calls the operations. */
    public abstract void run();
}
