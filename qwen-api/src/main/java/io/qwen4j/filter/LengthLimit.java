package io.qwen4j.filter;

/**
 * What becomes of documents that are too long.
 *
 * @param mostTokens most tokens of a document that are scored, or 0 for as many as the model's context holds beside the question
 * @param truncate whether only the beginning of a longer document is scored; else it is an error,
 *     {@link DocumentException.Reason#TOO_LONG}
 */
public record LengthLimit(int mostTokens, boolean truncate) {
    /** Documents that the context does not hold are an error. */
    public static final LengthLimit REFUSE = new LengthLimit(0, false);
    /** Of documents that the context does not hold the beginning is scored. */
    public static final LengthLimit TRUNCATE = new LengthLimit(0, true);

    /** Checks the range. */
    public LengthLimit {
        if (mostTokens < 0) {
            throw new IllegalArgumentException("mostTokens must be at least 0, found " + mostTokens);
        }
    }
}
