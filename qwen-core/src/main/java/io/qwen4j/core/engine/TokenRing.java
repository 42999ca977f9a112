package io.qwen4j.core.engine;

import io.qwen4j.TokenLogProbability;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Tokens on their way from the engine thread, which chooses them, to the delivery thread, which makes text and events of them. One writer, one
 * reader, no lock, nothing allocated by the writer.
 */
final class TokenRing {
    /** Places; a sequence whose ring is full skips a step. A power of two. */
    static final int CAPACITY = 256;

    private static final int MASK = CAPACITY - 1;

    private final int[] ids = new int[CAPACITY];
    private final long[] times = new long[CAPACITY];
    private final int alternatives;
    private final float @Nullable [] logProbabilities;
    private final int[] alternativeIds;
    private final float[] alternativeLogProbabilities;
    /** Tokens ever written; written by the engine thread only. */
    private volatile int written;
    /** Tokens ever read; written by the delivery thread only. */
    private volatile int read;

    /** Makes a ring; {@code alternatives} is that of {@link io.qwen4j.GenerationOptions#logProbabilities()}. */
    TokenRing(int alternatives) {
        this.alternatives = Math.max(0, alternatives);
        logProbabilities = alternatives < 0 ? null : new float[CAPACITY];
        alternativeIds = new int[CAPACITY * this.alternatives];
        alternativeLogProbabilities = new float[CAPACITY * this.alternatives];
    }

    /** Tokens that wait to be read. */
    int waiting() {
        return written - read;
    }

    /** Tokens ever written. */
    int written() {
        return written;
    }

    /** Writes a token; its probabilities are those of {@code row}, if it is given. */
    void write(int id, long nanos, @Nullable RowProbabilities row) {
        int next = written;
        int at = next & MASK;
        ids[at] = id;
        times[at] = nanos;
        if (logProbabilities != null && row != null) {
            logProbabilities[at] = row.logProbability(id);
            for (int i = 0; i < alternatives; i++) {
                alternativeIds[at * alternatives + i] = i < row.count() ? row.id(i) : -1;
                alternativeLogProbabilities[at * alternatives + i] = i < row.count() ? row.logProbability(row.id(i)) : 0;
            }
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
        if (logProbabilities == null) {
            return null;
        }
        int at = read & MASK;
        List<TokenLogProbability.Alternative> list = new ArrayList<>(alternatives);
        for (int i = at * alternatives; i < (at + 1) * alternatives; i++) {
            if (alternativeIds[i] >= 0) {
                list.add(new TokenLogProbability.Alternative(alternativeIds[i], alternativeLogProbabilities[i]));
            }
        }
        return new TokenLogProbability(ids[at], logProbabilities[at], list);
    }

    /** Goes on to the next token. */
    void advance() {
        read = read + 1;
    }
}
