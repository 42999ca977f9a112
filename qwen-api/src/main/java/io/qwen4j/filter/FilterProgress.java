package io.qwen4j.filter;

import java.time.Duration;
import java.util.Optional;

/**
 * How far a run from file to file has come.
 *
 * @param bytes bytes of the input that are done, those of earlier runs included
 * @param totalBytes bytes of the input
 * @param lines lines that are done, those of earlier runs included
 * @param kept lines kept, those of earlier runs included
 * @param runBytes bytes of the input that this run has done
 * @param runLines lines that this run has done
 * @param runTokens tokens of documents that this run has scored
 * @param elapsed time since this run began
 */
public record FilterProgress(
        long bytes, long totalBytes, long lines, long kept, long runBytes, long runLines, long runTokens, Duration elapsed) {
    /**
     * Speed in documents.
     *
     * @return documents of this run in a second
     */
    public double documentsPerSecond() {
        return perSecond(runLines);
    }

    /**
     * Speed in tokens.
     *
     * @return tokens of documents of this run in a second
     */
    public double tokensPerSecond() {
        return perSecond(runTokens);
    }

    private double perSecond(long count) {
        return elapsed.isZero() ? 0 : count / (elapsed.toNanos() / 1e9);
    }

    /**
     * The part that is kept.
     *
     * @return lines kept over lines done, 0 to 1; 0 before the first
     */
    public double keptShare() {
        return lines == 0 ? 0 : (double) kept / lines;
    }

    /**
     * The time that is left if the rest goes as fast as this run so far, byte for byte.
     *
     * @return the time, or empty before the first line
     */
    public Optional<Duration> remaining() {
        if (runBytes == 0) {
            return Optional.empty();
        }
        double nanos = (double) elapsed.toNanos() / runBytes * (totalBytes - bytes);
        return Optional.of(Duration.ofNanos((long) Math.min(nanos, Long.MAX_VALUE)));
    }
}
