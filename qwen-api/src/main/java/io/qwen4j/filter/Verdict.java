package io.qwen4j.filter;

import org.jspecify.annotations.Nullable;

/**
 * What a filter says of a document. Either scores or error is there.
 *
 * @param document the text
 * @param kept whether it passed all thresholds, or could not be scored and is kept nevertheless
 * @param scores its scores, or null if it could not be scored
 * @param error why it could not be scored, or null
 */
public record Verdict(String document, boolean kept, @Nullable DocumentScores scores, @Nullable DocumentException error) {}
