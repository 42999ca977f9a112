package io.qwen4j.natives;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.Ints;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Routing;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * What backends on handles share. An operation holds what it uses until it returns, so that closing any of it on another thread waits for
 * nobody and breaks nothing.
 */
abstract class NativeOps implements Ops {
    // Most objects of one operation, of attention: the backend, six operands and the batch.
    private static final int MOST_HELD = 8;

    private final Kinds kinds;
    private final AtomicBoolean busy = new AtomicBoolean();
    private final @Nullable NativeResource[] held = new @Nullable NativeResource[MOST_HELD];
    private int heldCount;

    /** The classes of a backend's own operands. */
    record Kinds(
            Class<? extends NativeResource> activation,
            Class<? extends NativeResource> ints,
            Class<? extends NativeResource> vector,
            Class<? extends NativeResource> cache) {}

    NativeOps(Kinds kinds) {
        this.kinds = kinds;
    }

    @Override
    public final Weight matrix(List<TensorSource> parts, LongConsumer progress) {
        return matrices(List.of(parts), progress).get(0);
    }

    final void begin() {
        if (!busy.compareAndSet(false, true)) {
            throw new IllegalStateException("operations of a backend are called by one thread at a time");
        }
    }

    final void end() {
        while (heldCount > 0) {
            NativeResource resource = held[--heldCount];
            held[heldCount] = null;
            if (resource != null) {
                resource.release();
            }
        }
        busy.set(false);
    }

    final long hold(NativeResource resource) {
        long handle = resource.acquire();
        held[heldCount++] = resource;
        return handle;
    }

    final long hold(Activation activation) {
        if (!kinds.activation.isInstance(activation)) {
            throw new IllegalArgumentException("the activation belongs to another backend");
        }
        return hold(kinds.activation.cast(activation));
    }

    final long hold(Batch batch) {
        return hold("batch", batch.memory());
    }

    final long hold(Routing routing) {
        return hold("routing", routing.memory());
    }

    final long hold(KeyChoice choice) {
        return hold("choice", choice.memory());
    }

    final long hold(LogitSelection selection) {
        return hold("selection", selection.memory());
    }

    private long hold(String name, Ints ints) {
        if (!kinds.ints.isInstance(ints)) {
            throw new IllegalArgumentException("the " + name + " belongs to another backend");
        }
        return hold(kinds.ints.cast(ints));
    }

    final long hold(KvCache cache) {
        if (!kinds.cache.isInstance(cache)) {
            throw new IllegalArgumentException("the KV cache belongs to another backend");
        }
        return hold(kinds.cache.cast(cache));
    }

    final long matrix(Weight weight) {
        if (!(weight instanceof NativeWeight matrix) || matrix.owner() != this) {
            throw new IllegalArgumentException("the weight is no matrix of this backend");
        }
        return hold((NativeResource) matrix);
    }

    final long vector(Weight weight) {
        if (!kinds.vector.isInstance(weight)) {
            throw new IllegalArgumentException("the weight is no vector of this backend");
        }
        return hold(kinds.vector.cast(weight));
    }
}
