package io.qwen4j.core.engine;

import io.qwen4j.TokenLogProbability;
import org.jspecify.annotations.Nullable;

/**
 * Tokens on their way from the engine thread, which chooses them, to the delivery thread, which makes text and events of them. One
 * writer, one reader, no lock, nothing allocated by the writer.
 */
final class TokenRing {
    /** Places; a sequence whose ring is full skips a step. A power of two. */
    static final int CAPACITY = 256;

    private static final int MASK = CAPACITY - 1;

    private final int[] ids = new int[CAPACITY];
    private final long[] times = new long[CAPACITY];
    private final @Nullable TokenLogProbability[] logProbabilities;
    /** Tokens ever written; written by the engine thread only. */
    private volatile int written;
    /** Tokens ever read; written by the delivery thread only. */
    private volatile int read;

    /** Makes a ring, with room for log-probabilities or without. */
    TokenRing(boolean withLogProbabilities) {
        logProbabilities = new TokenLogProbability[withLogProbabilities ? CAPACITY : 0];
    }

    /** Tokens that wait to be read. */
    int waiting() {
        return written - read;
    }

    /** Writes a token. */
    void write(int id, long nanos, @Nullable TokenLogProbability logProbability) {
        int next = written;
        int at = next & MASK;
        ids[at] = id;
        times[at] = nanos;
        if (logProbability != null) {
            logProbabilities[at] = logProbability;
        }
        written = next + 1;
    }

    /** Id of the next token to read. */
    int id() {
        return ids[read & MASK];
    }

    /** When the next token to read was chosen. */
    long nanos() {
        return times[read & MASK];
    }

    /** Probability of the next token to read, or null if none were asked for. */
    @Nullable TokenLogProbability logProbability() {
        return logProbabilities.length == 0 ? null : logProbabilities[read & MASK];
    }

    /** Goes on to the next token. */
    void advance() {
        read = read + 1;
    }
}
