package io.qwen4j.core.engine;

import io.qwen4j.NumericException;
import io.qwen4j.Pooling;
import java.nio.FloatBuffer;

/** A vector of length 1 from the final hidden states. */
final class EmbedJob extends Job<float[]> {
    private final Pooling pooling;
    private final double[] sum;

    EmbedJob(int[] tokens, Pooling pooling, int hiddenSize) {
        super(tokens, tokens.length);
        this.pooling = pooling;
        sum = new double[hiddenSize];
    }

    @Override
    boolean wantsOutput(int position) {
        return pooling == Pooling.MEAN ? super.wantsOutput(position) : position == length - 1;
    }

    @Override
    boolean wantsLogits() {
        return false;
    }

    @Override
    void output(int position, FloatBuffer row, int offset, long nanos) {
        for (int i = 0; i < sum.length; i++) {
            sum[i] += row.get(offset + i);
        }
        done(position + 1);
    }

    @Override
    float[] result() {
        double square = 0;
        for (double v : sum) {
            square += v * v;
        }
        double norm = Math.sqrt(square);
        if (!(norm > 0 && norm < Double.POSITIVE_INFINITY)) {
            throw new NumericException("the hidden states have no finite length above 0, found " + norm);
        }
        float[] vector = new float[sum.length];
        for (int i = 0; i < sum.length; i++) {
            vector[i] = (float) (sum[i] / norm);
        }
        return vector;
    }
}
