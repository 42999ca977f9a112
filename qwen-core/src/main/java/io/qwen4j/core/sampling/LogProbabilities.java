package io.qwen4j.core.sampling;

import io.qwen4j.NumericException;
import io.qwen4j.TokenLogProbability;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Log-probabilities under the model's own distribution: the log-softmax of the raw logits over all rows of the vocabulary, summed in double
 * precision. Reuses its memory; not thread-safe.
 */
public final class LogProbabilities {
    private final int rows;
    private final int sampleable;
    private final float[] logits;
    private final Candidates best;
    private final Exponentials exponentials = new Exponentials();
    private float max;
    private double logSum;

    /**
     * @param rows vocabulary rows of the model, V
     * @param sampleable ids from here on are never alternatives
     * @param mostAlternatives bound on the alternatives asked for
     */
    public LogProbabilities(int rows, int sampleable, int mostAlternatives) {
        this.rows = rows;
        this.sampleable = sampleable;
        logits = new float[rows];
        best = new Candidates(Math.min(mostAlternatives, sampleable));
    }

    /**
     * The probability of a token and the most probable tokens.
     *
     * @param source logits; its position is not changed
     * @param offset index in {@code source} of the row's first value
     * @param id the token
     * @param alternatives how many of the most probable tokens are given
     * @throws NumericException if a logit is NaN or positive infinity, or all are negative infinity
     */
    public TokenLogProbability of(FloatBuffer source, int offset, int id, int alternatives) {
        read(source, offset);
        best.takeFirst(Math.min(alternatives, sampleable), logits, sampleable);
        List<TokenLogProbability.Alternative> list = new ArrayList<>(best.size());
        for (int i = 0; i < best.size(); i++) {
            list.add(new TokenLogProbability.Alternative(best.id(i), logProbability(best.id(i))));
        }
        return new TokenLogProbability(id, logProbability(id), list);
    }

    /** The log-probability of one token, for scoring. */
    public float score(FloatBuffer source, int offset, int id) {
        read(source, offset);
        return logProbability(id);
    }

    /** The log-probabilities of some tokens. */
    public float[] of(FloatBuffer source, int offset, int[] ids) {
        read(source, offset);
        float[] values = new float[ids.length];
        for (int i = 0; i < ids.length; i++) {
            values[i] = logProbability(ids[i]);
        }
        return values;
    }

    /** The greatest logit is subtracted first: added to the logarithm of the sum, a large one would swallow it. */
    private float logProbability(int id) {
        return (float) Math.min(0, (double) logits[id] - max - logSum);
    }

    /** Takes a row: its greatest logit, and the logarithm of the sum of the exponentials of the differences to it. */
    private void read(FloatBuffer source, int offset) {
        source.get(offset, logits, 0, rows);
        max = Float.NEGATIVE_INFINITY;
        for (int id = 0; id < rows; id++) {
            float logit = logits[id];
            if (!(logit < Float.POSITIVE_INFINITY)) {
                throw new NumericException("the logit of token " + id + " is " + logit + "; no probability can be computed");
            }
            max = Math.max(max, logit);
        }
        if (max == Float.NEGATIVE_INFINITY) {
            throw new NumericException("every logit is -Infinity; no probability can be computed");
        }
        double sum = 0;
        for (int id = 0; id < rows; id += Exponentials.BLOCK) {
            int n = Math.min(Exponentials.BLOCK, rows - id);
            exponentials.takeRow(logits, id, n, max, 1);
            for (int i = 0; i < n; i++) {
                sum += exponentials.get(i);
            }
        }
        logSum = Math.log(sum);
    }
}
