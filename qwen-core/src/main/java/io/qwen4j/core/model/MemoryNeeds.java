package io.qwen4j.core.model;

import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;

/**
 * Memory that a loaded model takes, known before any of it is taken.
 *
 * @param weightBytes weights, in the backend's layout
 * @param activationBytes activations of a decoder, and the keys that sparse prefill chooses
 * @param cacheBytes the whole KV cache
 * @param scratchBytes what loading and operations take beside
 */
public record MemoryNeeds(long weightBytes, long activationBytes, long cacheBytes, long scratchBytes) {
    // What loading takes beside: read buffers, tables of the tokenizer, threads.
    private static final long WORK_BYTES = 32L << 20;
    private static final String ADVICE =
            "load it with a shorter context, a smaller cache or quantized weights, or on the Java backend with a larger heap (-Xmx)";

    /**
     * Computes the needs of a model.
     *
     * @param weightBytes see {@link QwenWeights#bytesNeeded}
     * @param config the checkpoint's, or with other positions
     * @param chosenBytes the keys that sparse prefill chooses, or 0 without it
     * @throws ArithmeticException if there are no numbers for so many bytes
     * @throws io.qwen4j.BackendUnavailableException if the backend has no kernels for such a cache
     */
    public static MemoryNeeds of(
            long weightBytes, QwenConfig config, Ops ops, int maxTokens, int maxOutputs, KvLayout cache, long chosenBytes) {
        // First: a backend is only asked for sizes that are numbers.
        Math.addExact(cache.bytes(), weightBytes);
        long activations = QwenDecoder.activationBytes(config, maxTokens, maxOutputs, cache);
        long scratch = ops.scratchBytes(activations, cache, chosenBytes > 0);
        return new MemoryNeeds(
                weightBytes, Math.addExact(activations, chosenBytes), ops.cacheBytes(cache), Math.addExact(WORK_BYTES, scratch));
    }

    /** The same with more activations. */
    public MemoryNeeds withMore(long activations) {
        return new MemoryNeeds(weightBytes, Math.addExact(activationBytes, activations), cacheBytes, scratchBytes);
    }

    /** All of it, in bytes. */
    public long totalBytes() {
        return Math.addExact(Math.addExact(weightBytes, activationBytes), Math.addExact(cacheBytes, scratchBytes));
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
            throw refusal(availableBytes, ADVICE);
        }
    }

    /** What refuses it. */
    public InsufficientMemoryException refusal(long availableBytes, String advice) {
        return new InsufficientMemoryException("the model does not fit: weights " + mib(weightBytes) + ", activations "
                + mib(activationBytes) + ", KV cache " + mib(cacheBytes) + ", scratch " + mib(scratchBytes) + "; " + advice, totalBytes(),
                availableBytes);
    }

    private static String mib(long bytes) {
        return (bytes + (1 << 20) - 1 >> 20) + " MiB";
    }
}
