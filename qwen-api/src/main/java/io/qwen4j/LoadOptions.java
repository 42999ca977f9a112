package io.qwen4j;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * How a model is loaded. Immutable; made with {@link #builder()}.
 *
 * @param device where to compute
 * @param instructionSet the highest instruction set the CPU kernels may use; null for the best of this machine
 * @param threads compute threads, or 0 for the property {@code qwen4j.threads}, else one per available processor
 * @param contextLength longest sequence (prompt and answer) in tokens; one that does not fit in memory is refused. 0 takes the model's own, at
 *     most 32,768 unless {@code yarn} or {@code dualChunk} extends it, shortened to no less than 2,048 where memory requires it and {@code
 *     cacheTokens} is 0 too
 * @param cacheTokens tokens that the KV cache holds for all requests together, or 0 for one full context
 * @param activations how finely activations are rounded where they meet quantized weights
 * @param kvCache storage of keys and values; {@link KvCacheType#INT8} halves the memory of long contexts. Null takes F16, and INT8 on a
 *     device whose memory does not suffice with the shortest context and the smallest prefill slices
 * @param quantization type to which weight matrices are converted while loading; null keeps the types of the file. Norms and biases stay F32;
 *     a row that is no whole number of blocks gets the fallback type of the GGUF convention (Q4_K becomes Q5_0, and so on), and the
 *     output layer keeps at least Q6_K; see {@link ModelFiles#quantize}
 * @param yarn how YaRN stretches positions; null takes what the files state, in every request. With a factor the model's own length becomes
 *     factor times original length
 * @param dualChunk how Dual Chunk Attention extends positions; null takes what the files state. Of a model whose files state none, the own
 *     length becomes four times the length it was trained for
 * @param sparsePrefill how long prompts are prefilled with sparse attention; null for attention to all keys, whatever the files say
 * @param prefillSlice most prompt tokens computed in one step, 1 to 4096; cancellation waits for at most one slice. 0 takes 512, and down to
 *     64 on a device whose memory does not suffice with the shortest context
 * @param maxConcurrent most requests computed at a time, 1 to 256; further ones wait in the queue
 * @param queueLimit most requests that wait; one more is refused with {@link QueueFullException}
 * @param checkValues whether weights are searched for NaN and infinity while loading
 * @param limits bounds on what is believed of the model's files
 * @param progress hears of the progress of loading
 */
public record LoadOptions(
        Device device,
        @Nullable InstructionSet instructionSet,
        int threads,
        int contextLength,
        int cacheTokens,
        ActivationPrecision activations,
        @Nullable KvCacheType kvCache,
        @Nullable WeightType quantization,
        @Nullable Yarn yarn,
        @Nullable DualChunk dualChunk,
        @Nullable SparsePrefill sparsePrefill,
        int prefillSlice,
        int maxConcurrent,
        int queueLimit,
        boolean checkValues,
        ModelLimits limits,
        ProgressListener progress) {
    /** The defaults. */
    public static final LoadOptions DEFAULT = builder().build();

    /** Checks the ranges. */
    public LoadOptions {
        Objects.requireNonNull(device, "device");
        Objects.requireNonNull(activations, "activations");
        Objects.requireNonNull(limits, "limits");
        Objects.requireNonNull(progress, "progress");
        if (quantization != null && !quantization.isGguf()) {
            throw new IllegalArgumentException("quantization " + quantization + " is only read, expected one of the types of GGUF files");
        }
        Checks.range("threads", threads, 0, 1024);
        Checks.range("contextLength", contextLength, 0, Integer.MAX_VALUE);
        Checks.range("cacheTokens", cacheTokens, 0, Integer.MAX_VALUE);
        Checks.range("prefillSlice", prefillSlice, 0, 4096);
        Checks.range("maxConcurrent", maxConcurrent, 1, 256);
        Checks.range("queueLimit", queueLimit, 0, 1_000_000);
    }

    /**
     * Starts from the defaults.
     *
     * @return a new builder
     */
    public static Builder builder() {
        return new Builder();
    }

    /** Collects options. Not thread-safe. */
    public static final class Builder {
        private Device device = Device.AUTO;
        private @Nullable InstructionSet instructionSet;
        private int threads;
        private int contextLength;
        private int cacheTokens;
        private ActivationPrecision activations = ActivationPrecision.INT8;
        private @Nullable KvCacheType kvCache;
        private @Nullable WeightType quantization;
        private @Nullable Yarn yarn;
        private @Nullable DualChunk dualChunk;
        private @Nullable SparsePrefill sparsePrefill;
        private int prefillSlice;
        private int maxConcurrent = 8;
        private int queueLimit = 256;
        private boolean checkValues;
        private ModelLimits limits = ModelLimits.DEFAULT;
        private ProgressListener progress = ProgressListener.none();

        private Builder() {}

        /**
         * Sets where to compute.
         *
         * @param device the device
         * @return this builder
         */
        public Builder device(Device device) {
            this.device = device;
            return this;
        }

        /**
         * Bounds the instruction set of the CPU kernels.
         *
         * @param highest the highest instruction set to use, or null for the best of this machine
         * @return this builder
         */
        public Builder instructionSet(@Nullable InstructionSet highest) {
            this.instructionSet = highest;
            return this;
        }

        /**
         * Sets the number of compute threads.
         *
         * @param threads 1 to 1024, or 0 for one per available processor
         * @return this builder
         */
        public Builder threads(int threads) {
            this.threads = threads;
            return this;
        }

        /**
         * Sets the longest sequence.
         *
         * @param tokens prompt and answer together, or 0 for the model's own length
         * @return this builder
         */
        public Builder contextLength(int tokens) {
            this.contextLength = tokens;
            return this;
        }

        /**
         * Sets the size of the KV cache.
         *
         * @param tokens tokens of all requests together, or 0 for one full context
         * @return this builder
         */
        public Builder cacheTokens(int tokens) {
            this.cacheTokens = tokens;
            return this;
        }

        /**
         * Sets how finely activations are rounded where they meet quantized weights.
         *
         * @param precision the precision
         * @return this builder
         */
        public Builder activations(ActivationPrecision precision) {
            this.activations = precision;
            return this;
        }

        /**
         * Sets the storage of keys and values. {@link KvCacheType#INT8} needs little more than half the memory of F16, the default.
         *
         * @param type the type, or null for F16, and INT8 where a device has no memory for it
         * @return this builder
         */
        public Builder kvCache(@Nullable KvCacheType type) {
            this.kvCache = type;
            return this;
        }

        /**
         * Converts weight matrices while loading.
         *
         * @param type the type to convert to, one of {@link WeightType#isGguf()}, or null to keep the file's
         * @return this builder
         */
        public Builder quantization(@Nullable WeightType type) {
            this.quantization = type;
            return this;
        }

        /**
         * Sets how YaRN stretches positions.
         *
         * @param yarn the setting, {@link Yarn#OFF} for none, or null for what the files state
         * @return this builder
         */
        public Builder yarn(@Nullable Yarn yarn) {
            this.yarn = yarn;
            return this;
        }

        /**
         * Sets how Dual Chunk Attention extends positions.
         *
         * @param chunks the setting, {@link DualChunk#OFF} for none, or null for what the files state
         * @return this builder
         */
        public Builder dualChunk(@Nullable DualChunk chunks) {
            this.dualChunk = chunks;
            return this;
        }

        /**
         * Switches sparse prefill of long prompts on.
         *
         * @param sparse the setting, or null for attention to all keys
         * @return this builder
         */
        public Builder sparsePrefill(@Nullable SparsePrefill sparse) {
            this.sparsePrefill = sparse;
            return this;
        }

        /**
         * Sets the size of a prefill step.
         *
         * @param tokens 1 to 4096, or 0 for 512, and fewer where a device has no memory for it
         * @return this builder
         */
        public Builder prefillSlice(int tokens) {
            this.prefillSlice = tokens;
            return this;
        }

        /**
         * Sets how many requests are computed at a time.
         *
         * @param requests 1 to 256
         * @return this builder
         */
        public Builder maxConcurrent(int requests) {
            this.maxConcurrent = requests;
            return this;
        }

        /**
         * Sets how many requests may wait.
         *
         * @param requests 0 to 1,000,000
         * @return this builder
         */
        public Builder queueLimit(int requests) {
            this.queueLimit = requests;
            return this;
        }

        /**
         * Switches the search of weights for NaN and infinity on or off.
         *
         * @param check whether to search
         * @return this builder
         */
        public Builder checkValues(boolean check) {
            this.checkValues = check;
            return this;
        }

        /**
         * Sets the bounds on what is believed of the model's files.
         *
         * @param limits the bounds
         * @return this builder
         */
        public Builder limits(ModelLimits limits) {
            this.limits = limits;
            return this;
        }

        /**
         * Sets who hears of the progress of loading.
         *
         * @param listener the listener
         * @return this builder
         */
        public Builder progress(ProgressListener listener) {
            this.progress = listener;
            return this;
        }

        /**
         * Makes the options.
         *
         * @return the options
         * @throws IllegalArgumentException if a value is out of its range
         */
        public LoadOptions build() {
            return new LoadOptions(
                    device,
                    instructionSet,
                    threads,
                    contextLength,
                    cacheTokens,
                    activations,
                    kvCache,
                    quantization,
                    yarn,
                    dualChunk,
                    sparsePrefill,
                    prefillSlice,
                    maxConcurrent,
                    queueLimit,
                    checkValues,
                    limits,
                    progress);
        }
    }
}
