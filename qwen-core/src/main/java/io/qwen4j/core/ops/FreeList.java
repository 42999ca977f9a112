package io.qwen4j.core.ops;

import java.util.ArrayDeque;
import java.util.Deque;

/** Things to free, the last one first. Each is freed once, also if freeing another one fails. Not thread-safe. */
public final class FreeList implements AutoCloseable {
    private final Deque<AutoCloseable> things = new ArrayDeque<>();

    /** Keeps a thing to be freed. */
    public <T extends AutoCloseable> T add(T thing) {
        things.push(thing);
        return thing;
    }

    @Override
    public void close() {
        RuntimeException failure = null;
        while (!things.isEmpty()) {
            try {
                things.pop().close();
            } catch (Exception e) {
                RuntimeException wrapped = e instanceof RuntimeException unchecked ? unchecked : new IllegalStateException(e);
                if (failure == null) {
                    failure = wrapped;
                } else {
                    failure.addSuppressed(wrapped);
                }
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}
