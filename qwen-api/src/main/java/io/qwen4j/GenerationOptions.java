package io.qwen4j;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How an answer is generated. Immutable; made with {@link #builder()}.
 *
 * @param sampling how tokens are chosen; null takes {@link QwenModel#defaultSampling()}
 * @param maxTokens most tokens of the answer, at least 1, or 0 for as many as the context holds (one after a prompt that fills it)
 * @param stop strings that end the answer and are not part of it, at most 64 of 1 to 1,000 characters
 * @param ignoreEndTokens whether the model's end tokens are taken as ordinary ones (for measuring)
 * @param logProbabilities number of alternatives to report with each token, 0 to 20; -1 reports nothing, 0 the chosen token only
 * @param promptLookup most tokens computed ahead in a step, 0 to 16, where the last ones occurred before in prompt or answer and so what
 *     follows can be foreseen; 0 computes none ahead. What is computed ahead is kept only as far as the model chooses it, so the answer is
 *     the same. The engine takes fewer where they rarely come true, at most 7, and none beside three other requests
 */
public record GenerationOptions(
        @Nullable SamplingOptions sampling,
        int maxTokens,
        List<String> stop,
        boolean ignoreEndTokens,
        int logProbabilities,
        int promptLookup) {
    /** The defaults: the model's own sampling, no bound but the context. */
    public static final GenerationOptions DEFAULT = builder().build();

    /** Checks the ranges and copies the list. */
    public GenerationOptions {
        Checks.range("maxTokens", maxTokens, 0, Integer.MAX_VALUE);
        Checks.range("logProbabilities", logProbabilities, -1, 20);
        Checks.range("promptLookup", promptLookup, 0, 16);
        stop = List.copyOf(stop);
        Checks.range("number of stop strings", stop.size(), 0, 64);
        for (String s : stop) {
            Checks.range("length of a stop string", s.length(), 1, 1000);
        }
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
        private @Nullable SamplingOptions sampling;
        private int maxTokens;
        private List<String> stop = List.of();
        private boolean ignoreEndTokens;
        private int logProbabilities = -1;
        private int promptLookup;

        private Builder() {}

        /**
         * Sets how tokens are chosen.
         *
         * @param value the options, or null for the model's own
         * @return this builder
         */
        public Builder sampling(@Nullable SamplingOptions value) {
            this.sampling = value;
            return this;
        }

        /**
         * Sets the most tokens of the answer.
         *
         * @param value at least 1, or 0 for as many as the context holds
         * @return this builder
         */
        public Builder maxTokens(int value) {
            this.maxTokens = value;
            return this;
        }

        /**
         * Sets strings that end the answer.
         *
         * @param value at most 64 strings of 1 to 1,000 characters
         * @return this builder
         */
        public Builder stop(List<String> value) {
            this.stop = value;
            return this;
        }

        /**
         * Sets whether end tokens are ordinary ones.
         *
         * @param value whether to go on after them
         * @return this builder
         */
        public Builder ignoreEndTokens(boolean value) {
            this.ignoreEndTokens = value;
            return this;
        }

        /**
         * Sets what is reported of the probabilities.
         *
         * @param value number of alternatives, 0 to 20, or -1 for nothing
         * @return this builder
         */
        public Builder logProbabilities(int value) {
            this.logProbabilities = value;
            return this;
        }

        /**
         * Sets how many tokens are computed ahead in a step.
         *
         * @param mostDrafted 0 to 16; 0 for none
         * @return this builder
         */
        public Builder promptLookup(int mostDrafted) {
            this.promptLookup = mostDrafted;
            return this;
        }

        /**
         * Makes the options.
         *
         * @return the options
         * @throws IllegalArgumentException if a value is out of its range
         */
        public GenerationOptions build() {
            return new GenerationOptions(sampling, maxTokens, stop, ignoreEndTokens, logProbabilities, promptLookup);
        }
    }
}
