package io.qwen4j.core.engine;

import io.qwen4j.NumericException;
import java.nio.FloatBuffer;

/** Log-probabilities of a row of logits: of any token, and the most probable ones. One for each engine, reused for every row. */
final class RowProbabilities {
    /** Most alternatives that a request may ask for. */
    private static final int MOST = 20;

    private final float[] row;
    private final int nameable;
    private final int[] ids = new int[MOST];
    private final float[] best = new float[MOST];
    private int count;
    private double logSum;

    /**
     * Makes room for a row.
     *
     * @param rows V, all of which take part in the distribution
     * @param nameable rows that have a token, and so may be among the most probable ones
     */
    RowProbabilities(int rows, int nameable) {
        row = new float[rows];
        this.nameable = nameable;
    }

    /**
     * Copies a row: who chooses the token may change it.
     *
     * @param top number of most probable tokens to find, at most 20
     * @throws NumericException if the row has NaN or no finite value
     */
    void take(FloatBuffer logits, int from, int top) {
        logits.get(from, row);
        float max = Float.NEGATIVE_INFINITY;
        for (float v : row) {
            max = v > max ? v : max;
        }
        double sum = 0;
        for (float v : row) {
            sum += Math.exp(v - max);
        }
        if (!(sum > 0 && sum < Double.POSITIVE_INFINITY)) {
            throw new NumericException("logits hold NaN or no finite value");
        }
        logSum = max + Math.log(sum);
        count = 0;
        for (int i = 0; i < nameable && top > 0; i++) {
            if (count < top || row[i] > best[count - 1]) {
                insert(i, row[i], top);
            }
        }
    }

    private void insert(int id, float value, int top) {
        int at = count < top ? count++ : count - 1;
        while (at > 0 && value > best[at - 1]) {
            ids[at] = ids[at - 1];
            best[at] = best[at - 1];
            at--;
        }
        ids[at] = id;
        best[at] = value;
    }

    /** Log-probability of a token, at most 0. */
    float logProbability(int id) {
        return (float) Math.min(0, row[id] - logSum);
    }

    /** Number of most probable tokens found. */
    int count() {
        return count;
    }

    /** The i-th most probable token, ties to the lower id. */
    int id(int i) {
        return ids[i];
    }
}
