package io.qwen4j.core.engine;

import io.qwen4j.Score;
import io.qwen4j.core.sampling.LogProbabilities;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/** Log-probability of each token after the first. */
final class ScoreJob extends Job<Score> {
    private final LogProbabilities probabilities;
    private final float[] logProbabilities;
    private final int slice;

    /** Makes a job of at least two tokens; {@code slice} bounds the rows of logits in a step. */
    ScoreJob(int[] tokens, LogProbabilities probabilities, int slice) {
        super(tokens, tokens.length - 1);
        this.probabilities = probabilities;
        this.slice = slice;
        logProbabilities = new float[tokens.length - 1];
    }

    @Override
    int maxSlice() {
        return slice;
    }

    @Override
    void output(int position, FloatBuffer row, int offset, long nanos) {
        logProbabilities[position] = probabilities.score(row, offset, tokens[position + 1]);
        done(position + 1);
    }

    @Override
    Score result() {
        List<Integer> ids = new ArrayList<>(tokens.length);
        for (int id : tokens) {
            ids.add(id);
        }
        List<Float> values = new ArrayList<>(logProbabilities.length);
        for (float value : logProbabilities) {
            values.add(value);
        }
        return new Score(ids, values);
    }
}
