package io.qwen4j.filter;

import java.util.Objects;

/**
 * The score of a document in one dimension.
 *
 * @param dimension the name of the dimension
 * @param value the score, finite: of a rating its expected value, from the lowest to the highest rating of the {@link Rubric}; a perplexity
 *     from 1; of a reward model whatever it was trained to give
 * @param mass of a rating the part of the model's probability that lies on the ratings, 0 to 1; else 1. Where it is small the model would
 *     have answered something else, and the score says little
 */
public record DimensionScore(String dimension, double value, double mass) {
    /** Checks the values. */
    public DimensionScore {
        Objects.requireNonNull(dimension, "dimension");
        if (!Double.isFinite(value)) {
            throw new IllegalArgumentException("the score of " + dimension + " must be finite, found " + value);
        }
        if (!(mass >= 0 && mass <= 1)) {
            throw new IllegalArgumentException("the mass of " + dimension + " must be 0 to 1, found " + mass);
        }
    }
}
