package io.qwen4j.core.model;

import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import org.jspecify.annotations.Nullable;

/**
 * Memory that a loaded model takes, known before any of it is taken.
 *
 * @param weightBytes weights, in the backend's layout
 * @param activationBytes activations of a decoder, and the keys that sparse prefill chooses
 * @param cacheBytes the whole KV cache
 */
public record MemoryNeeds(long weightBytes, long activationBytes, long cacheBytes) {
    // What loading takes beside: read buffers, tables of the tokenizer, threads.
    private static final long WORK_BYTES = 32L << 20;

    /**
     * Computes the needs of a model.
     *
     * @param config the checkpoint's, or with other positions
     */
    public static MemoryNeeds of(
            Checkpoint checkpoint,
            QwenConfig config,
            Ops ops,
            @Nullable WeightType quantization,
            int maxTokens,
            int maxOutputs,
            KvLayout cache) {
        return new MemoryNeeds(
                QwenWeights.bytesNeeded(checkpoint, ops, quantization),
                QwenDecoder.activationBytes(config, maxTokens, maxOutputs, cache),
                cache.bytes());
    }

    /** The same with more activations. */
    public MemoryNeeds withMore(long activations) {
        return new MemoryNeeds(weightBytes, Math.addExact(activationBytes, activations), cacheBytes);
    }

    /** All of it, in bytes. */
    public long totalBytes() {
        return Math.addExact(Math.addExact(weightBytes, activationBytes), Math.addExact(cacheBytes, WORK_BYTES));
    }

    /**
     * Memory that the backend can take: the least of the machine's, the container's and the backend's own, or the device's where it is on
     * one; {@link Long#MAX_VALUE} if unknown.
     */
    public static long availableBytes(Ops ops) {
        return ops.hostMemory() ? Math.min(AvailableMemory.ofSystem().bytes(), ops.availableBytes()) : ops.availableBytes();
    }

    /** Refuses what does not fit. */
    public void check(long availableBytes) {
        if (totalBytes() > availableBytes) {
            throw new InsufficientMemoryException("the model does not fit: weights " + mib(weightBytes) + ", activations "
                    + mib(activationBytes) + ", KV cache " + mib(cacheBytes)
                    + "; load it with a shorter context, a smaller cache or quantized weights, or on the Java backend with a larger heap (-Xmx)",
                    totalBytes(), availableBytes);
        }
    }

    private static String mib(long bytes) {
        return (bytes + (1 << 20) - 1 >> 20) + " MiB";
    }
}
