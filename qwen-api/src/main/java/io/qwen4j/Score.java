package io.qwen4j;

import java.util.List;

/**
 * How probable a text is to a model.
 *
 * @param tokens the token ids
 * @param logProbabilities natural logarithm of the probability of each token after the first, given those before it
 */
public record Score(List<Integer> tokens, List<Float> logProbabilities) {
    /** Copies the lists. */
    public Score {
        tokens = List.copyOf(tokens);
        logProbabilities = List.copyOf(logProbabilities);
    }

    /**
     * The log-probability of the text.
     *
     * @return the sum, 0 for a single token
     */
    public double total() {
        double sum = 0;
        for (float p : logProbabilities) {
            sum += p;
        }
        return sum;
    }

    /**
     * The perplexity of the text.
     *
     * @return e to the negative mean log-probability; NaN for a single token
     */
    public double perplexity() {
        return Math.exp(-total() / logProbabilities.size());
    }
}
