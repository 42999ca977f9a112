package io.qwen4j.filter;

import java.util.Objects;

/**
 * What the score of a dimension must reach for a document to be kept.
 *
 * @param dimension the name of a dimension, or {@link #MEAN}
 * @param least the smallest score that is kept; may be negative infinity
 * @param most the largest score that is kept, at least {@code least}; may be infinity
 */
public record Threshold(String dimension, double least, double most) {
    /** Stands for the mean of all dimensions. */
    public static final String MEAN = "mean";

    /** Checks the range. */
    public Threshold {
        Objects.requireNonNull(dimension, "dimension");
        if (!(least <= most)) {
            throw new IllegalArgumentException(
                    "the threshold of " + dimension + " must be a range, found " + least + " to " + most);
        }
    }

    /**
     * A lower bound.
     *
     * @param dimension the name of a dimension, or {@link #MEAN}
     * @param least the smallest score that is kept
     * @return the threshold
     */
    public static Threshold least(String dimension, double least) {
        return new Threshold(dimension, least, Double.POSITIVE_INFINITY);
    }

    /**
     * An upper bound.
     *
     * @param dimension the name of a dimension, or {@link #MEAN}
     * @param most the largest score that is kept
     * @return the threshold
     */
    public static Threshold most(String dimension, double most) {
        return new Threshold(dimension, Double.NEGATIVE_INFINITY, most);
    }

    /**
     * Whether a document passes.
     *
     * @param scores of the document
     * @return whether its score is in the range, ends included
     * @throws IllegalArgumentException if the scores have no such dimension
     */
    public boolean admits(DocumentScores scores) {
        double value = dimension.equals(MEAN) ? scores.mean() : scores.of(dimension).value();
        return value >= least && value <= most;
    }
}
