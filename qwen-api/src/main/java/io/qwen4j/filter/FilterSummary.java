package io.qwen4j.filter;

import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * What a run from file to file did, those before it that it resumed included. Lines that are neither kept nor rejected were blank:
 * {@code lines = kept + rejected + blank}.
 *
 * @param lines lines of the input
 * @param kept lines in the output
 * @param rejected lines that did not pass or could not be scored
 * @param blank lines of white space only, which are left out
 * @param truncated documents of which only the beginning was scored
 * @param tokens tokens of the documents
 * @param scoredTokens tokens of them that were scored
 * @param dimensions figures of each dimension, in order
 * @param errors number of documents that could not be scored, for each reason
 * @param firstErrors messages of the first ones, at most {@value #MOST_ERRORS}
 * @param resumedLines lines that earlier runs had done; 0 if this one began anew
 * @param elapsed time of this run
 */
public record FilterSummary(
        long lines,
        long kept,
        long rejected,
        long blank,
        long truncated,
        long tokens,
        long scoredTokens,
        List<DimensionSummary> dimensions,
        Map<DocumentException.Reason, Long> errors,
        List<String> firstErrors,
        long resumedLines,
        Duration elapsed) {
    /** Bound of {@link #firstErrors()}. */
    public static final int MOST_ERRORS = 10;

    /** Copies the collections. */
    public FilterSummary {
        dimensions = List.copyOf(dimensions);
        errors = Map.copyOf(errors);
        firstErrors = List.copyOf(firstErrors);
    }

    /**
     * Documents that could not be scored.
     *
     * @return their number
     */
    public long failed() {
        return errors.values().stream().mapToLong(Long::longValue).sum();
    }

    /**
     * Figures of a dimension over all documents that were scored.
     *
     * @param dimension its name
     * @param scored documents that were scored
     * @param mean mean of the scores; NaN if none was scored
     * @param least smallest score; NaN if none was scored
     * @param most largest score; NaN if none was scored
     * @param meanMass mean of {@link DimensionScore#mass()}; NaN if none was scored
     */
    public record DimensionSummary(String dimension, long scored, double mean, double least, double most, double meanMass) {}
}
