package io.qwen4j.core.sampling;

import io.qwen4j.SamplingOptions;
import io.qwen4j.core.ops.LogitSelection;
import java.util.Map;

/** Logit bias, repetition, presence and frequency penalty of one request, and what they remember of its tokens. */
final class Penalties {
    private final float repetition;
    private final float presence;
    private final float frequency;
    private final int[] biasedIds;
    private final float[] biases;
    /** A bit for each id of prompt and answer: 2,375 words for Qwen2.5's vocabulary, read once a token. */
    private final long[] seen;
    /** A bit for each id of the answer. */
    private final long[] answered;
    private final int[] counts;
    /** Scratch: a bit for each id whose logit may be changed. Of no length if none is. */
    private final long[] apart;

    /**
     * @param sampleable ids from here on are never sampled and so need no penalty
     */
    Penalties(SamplingOptions options, int rows, int sampleable) {
        repetition = options.repetitionPenalty();
        presence = options.presencePenalty();
        frequency = options.frequencyPenalty();
        seen = repetition == 1 ? new long[0] : new long[(sampleable + 63) / 64];
        boolean counted = presence != 0 || frequency != 0;
        answered = counted ? new long[(sampleable + 63) / 64] : new long[0];
        counts = new int[counted ? sampleable : 0];
        biasedIds = new int[options.logitBias().size()];
        biases = new float[biasedIds.length];
        int next = 0;
        for (Map.Entry<Integer, Float> entry : options.logitBias().entrySet()) {
            if (entry.getKey() >= rows) {
                throw new IllegalArgumentException(
                        "logitBias names token " + entry.getKey() + ", the model has " + rows + " rows of vocabulary");
            }
            biasedIds[next] = entry.getKey();
            biases[next++] = entry.getValue();
        }
        boolean none = biasedIds.length == 0 && seen.length == 0 && !counted;
        apart = new long[none ? 0 : (rows + 63) / 64];
    }

    void acceptPrompt(int id) {
        set(seen, id);
    }

    void acceptAnswer(int id) {
        set(seen, id);
        if (id < counts.length) {
            set(answered, id);
            counts[id]++;
        }
    }

    private static void set(long[] bits, int id) {
        if (id >> 6 < bits.length) {
            bits[id >> 6] |= 1L << id;
        }
    }

    /**
     * Sets apart of the row that a selection asks for last what {@link #apply} may change, and other ids that it may change before it is
     * applied.
     *
     * @param others ids from {@code from} until {@code to}
     * @return whether there was room for them
     */
    boolean setApart(LogitSelection selection, int[] others, int from, int to) {
        // In rising order, each once.
        for (int word = 0; word < apart.length; word++) {
            apart[word] = (word < seen.length ? seen[word] : 0) | (word < answered.length ? answered[word] : 0);
        }
        for (int id : biasedIds) {
            set(apart, id);
        }
        for (int i = from; i < to; i++) {
            set(apart, others[i]);
        }
        for (int word = 0; word < apart.length; word++) {
            for (long bits = apart[word]; bits != 0; bits &= bits - 1) {
                if (!selection.setApart((word << 6) + Long.numberOfTrailingZeros(bits))) {
                    return false;
                }
            }
        }
        return true;
    }

    /** Changes logits of the first {@code sampleable} ids in place. */
    void apply(float[] logits, int sampleable) {
        for (int i = 0; i < biasedIds.length; i++) {
            logits[biasedIds[i]] = bounded(logits[biasedIds[i]] + biases[i]);
        }
        for (int word = 0; word < seen.length; word++) {
            for (long bits = seen[word]; bits != 0; bits &= bits - 1) {
                int id = (word << 6) + Long.numberOfTrailingZeros(bits);
                if (id < sampleable) {
                    logits[id] = bounded(logits[id] > 0 ? logits[id] / repetition : logits[id] * repetition);
                }
            }
        }
        for (int word = 0; word < answered.length; word++) {
            for (long bits = answered[word]; bits != 0; bits &= bits - 1) {
                int id = (word << 6) + Long.numberOfTrailingZeros(bits);
                logits[id] = bounded(logits[id] - presence - frequency * counts[id]);
            }
        }
    }

    /** What grows beyond the floats stays the greatest of them; negative infinity forbids a token and stays. */
    private static float bounded(float logit) {
        return logit > Float.MAX_VALUE ? Float.MAX_VALUE : logit;
    }
}
