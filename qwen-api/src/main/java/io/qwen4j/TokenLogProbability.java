package io.qwen4j;

import java.util.List;

/**
 * How probable a token was: natural logarithms under the model's own distribution, before any {@link SamplingOptions}.
 *
 * @param id the token
 * @param logProbability at most 0
 * @param alternatives the most probable tokens in falling order, as many as asked for
 */
public record TokenLogProbability(int id, float logProbability, List<Alternative> alternatives) {
    /** Copies the list. */
    public TokenLogProbability {
        alternatives = List.copyOf(alternatives);
    }

    /**
     * A token that could have been chosen.
     *
     * @param id the token
     * @param logProbability at most 0
     */
    public record Alternative(int id, float logProbability) {}
}
