package io.qwen4j;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How a token is chosen from the logits. Immutable; made with {@link #builder()} or from {@link QwenModel#defaultSampling()}.
 *
 * <p>Applied in this order (that of Hugging Face transformers): logit bias, repetition penalty, presence and frequency penalty, temperature,
 * top-k, top-p, min-p, typical. Values that switch a step off are given with each component.
 *
 * @param temperature divides the logits, 0 to 100; 0 takes the most probable token (greedy), ties to the lowest id
 * @param topK keeps the k most probable tokens; 0 keeps all
 * @param topP keeps the smallest set of most probable tokens whose probabilities reach this sum, above 0 to 1; 1 keeps all
 * @param minP keeps tokens at least this fraction as probable as the most probable one, 0 to 1; 0 keeps all
 * @param typicalP keeps the smallest set of tokens closest to the expected surprise whose probabilities reach this sum, above 0 to 1; 1 keeps
 *     all (Meister et al., 2202.00666)
 * @param repetitionPenalty divides positive and multiplies negative logits of every token in prompt or answer, above 0 to 100; 1 changes
 *     nothing
 * @param presencePenalty subtracted once from the logit of every token in the answer, -100 to 100; 0 changes nothing
 * @param frequencyPenalty subtracted from the logit of a token for each time it is in the answer, -100 to 100; 0 changes nothing
 * @param logitBias added to the logits of the given ids before everything else; negative infinity forbids a token
 * @param seed start of the random numbers; null takes a fresh one for every request
 */
public record SamplingOptions(
        float temperature,
        int topK,
        float topP,
        float minP,
        float typicalP,
        float repetitionPenalty,
        float presencePenalty,
        float frequencyPenalty,
        Map<Integer, Float> logitBias,
        @Nullable Long seed) {
    /** Takes the most probable token, without penalties. */
    public static final SamplingOptions GREEDY = builder().temperature(0).build();

    /** Checks the ranges and copies the map. */
    public SamplingOptions {
        Checks.range("temperature", temperature, 0, 100);
        Checks.range("topK", topK, 0, Integer.MAX_VALUE);
        Checks.range("topP", topP, Float.MIN_VALUE, 1);
        Checks.range("minP", minP, 0, 1);
        Checks.range("typicalP", typicalP, Float.MIN_VALUE, 1);
        Checks.range("repetitionPenalty", repetitionPenalty, Float.MIN_VALUE, 100);
        Checks.range("presencePenalty", presencePenalty, -100, 100);
        Checks.range("frequencyPenalty", frequencyPenalty, -100, 100);
        logitBias = Map.copyOf(logitBias);
        logitBias.forEach((id, bias) -> {
            if (id < 0 || Float.isNaN(bias) || bias == Float.POSITIVE_INFINITY) {
                throw new IllegalArgumentException("logitBias must map ids from 0 to numbers or -Infinity, found " + id + " -> " + bias);
            }
        });
    }

    /**
     * Starts from plain sampling: temperature 1, everything else off.
     *
     * @return a new builder
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Starts from these options.
     *
     * @return a new builder
     */
    public Builder toBuilder() {
        Builder b = new Builder();
        b.temperature = temperature;
        b.topK = topK;
        b.topP = topP;
        b.minP = minP;
        b.typicalP = typicalP;
        b.repetitionPenalty = repetitionPenalty;
        b.presencePenalty = presencePenalty;
        b.frequencyPenalty = frequencyPenalty;
        b.logitBias = logitBias;
        b.seed = seed;
        return b;
    }

    /** Collects options. Not thread-safe. */
    public static final class Builder {
        private float temperature = 1;
        private int topK;
        private float topP = 1;
        private float minP;
        private float typicalP = 1;
        private float repetitionPenalty = 1;
        private float presencePenalty;
        private float frequencyPenalty;
        private Map<Integer, Float> logitBias = Map.of();
        private @Nullable Long seed;

        private Builder() {}

        /**
         * Sets what divides the logits.
         *
         * @param value 0 (greedy) to 100
         * @return this builder
         */
        public Builder temperature(float value) {
            this.temperature = value;
            return this;
        }

        /**
         * Sets how many tokens are kept.
         *
         * @param value at least 1, or 0 for all
         * @return this builder
         */
        public Builder topK(int value) {
            this.topK = value;
            return this;
        }

        /**
         * Sets the probability that the kept tokens reach.
         *
         * @param value above 0 to 1
         * @return this builder
         */
        public Builder topP(float value) {
            this.topP = value;
            return this;
        }

        /**
         * Sets the least probability, relative to the most probable token.
         *
         * @param value 0 to 1
         * @return this builder
         */
        public Builder minP(float value) {
            this.minP = value;
            return this;
        }

        /**
         * Sets the probability that the typical tokens reach.
         *
         * @param value above 0 to 1
         * @return this builder
         */
        public Builder typicalP(float value) {
            this.typicalP = value;
            return this;
        }

        /**
         * Sets the penalty on tokens of prompt and answer.
         *
         * @param value above 0 to 100; 1 changes nothing
         * @return this builder
         */
        public Builder repetitionPenalty(float value) {
            this.repetitionPenalty = value;
            return this;
        }

        /**
         * Sets the penalty on tokens that are in the answer.
         *
         * @param value -100 to 100
         * @return this builder
         */
        public Builder presencePenalty(float value) {
            this.presencePenalty = value;
            return this;
        }

        /**
         * Sets the penalty on tokens for each time they are in the answer.
         *
         * @param value -100 to 100
         * @return this builder
         */
        public Builder frequencyPenalty(float value) {
            this.frequencyPenalty = value;
            return this;
        }

        /**
         * Sets what is added to logits.
         *
         * @param value numbers by token id
         * @return this builder
         */
        public Builder logitBias(Map<Integer, Float> value) {
            this.logitBias = value;
            return this;
        }

        /**
         * Sets the start of the random numbers.
         *
         * @param value the seed, or null for a fresh one
         * @return this builder
         */
        public Builder seed(@Nullable Long value) {
            this.seed = value;
            return this;
        }

        /**
         * Makes the options.
         *
         * @return the options
         * @throws IllegalArgumentException if a value is out of its range
         */
        public SamplingOptions build() {
            return new SamplingOptions(
                    temperature,
                    topK,
                    topP,
                    minP,
                    typicalP,
                    repetitionPenalty,
                    presencePenalty,
                    frequencyPenalty,
                    logitBias,
                    seed);
        }
    }
}
