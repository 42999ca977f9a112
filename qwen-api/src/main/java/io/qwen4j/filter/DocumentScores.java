package io.qwen4j.filter;

import java.util.List;

/**
 * The scores of a document.
 *
 * @param dimensions one score for each dimension of the scorer, in its order, at least one
 * @param tokens tokens of the document
 * @param scoredTokens tokens of it that the model saw; fewer where it was truncated
 */
public record DocumentScores(List<DimensionScore> dimensions, int tokens, int scoredTokens) {
    /** Copies the list. */
    public DocumentScores {
        dimensions = List.copyOf(dimensions);
        if (dimensions.isEmpty()) {
            throw new IllegalArgumentException("scores need at least one dimension");
        }
        if (scoredTokens < 0 || tokens < scoredTokens) {
            throw new IllegalArgumentException("scoredTokens must be 0 to " + tokens + ", the tokens, found " + scoredTokens);
        }
    }

    /**
     * The score of a dimension.
     *
     * @param dimension its name
     * @return the score
     * @throws IllegalArgumentException if there is no such dimension
     */
    public DimensionScore of(String dimension) {
        for (DimensionScore score : dimensions) {
            if (score.dimension().equals(dimension)) {
                return score;
            }
        }
        throw new IllegalArgumentException("no dimension '" + dimension + "' among "
                + dimensions.stream().map(DimensionScore::dimension).toList());
    }

    /**
     * The mean of the dimensions.
     *
     * @return the arithmetic mean of their scores
     */
    public double mean() {
        double sum = 0;
        for (DimensionScore score : dimensions) {
            sum += score.value();
        }
        return sum / dimensions.size();
    }

    /**
     * Whether the model saw only the beginning of the document.
     *
     * @return whether it was truncated
     */
    public boolean truncated() {
        return scoredTokens < tokens;
    }
}
