package io.qwen4j.core.engine;

import io.qwen4j.NumericException;
import java.nio.FloatBuffer;
import java.util.Arrays;

/** The outputs of a reward head at some positions, one row after the other. Nothing behind the last of them is computed. */
final class RewardJob extends Job<float[]> {
    private final int[] positions;
    private final int width;
    private final float[] rewards;

    /**
     * Makes a job.
     *
     * @param positions rising, at least one, each below the number of tokens
     * @param width outputs of the head
     */
    RewardJob(int[] tokens, int[] positions, int width) {
        super(tokens, positions[positions.length - 1] + 1);
        this.positions = positions;
        this.width = width;
        rewards = new float[Math.multiplyExact(positions.length, width)];
    }

    @Override
    boolean wantsOutput(int position) {
        return super.wantsOutput(position) && Arrays.binarySearch(positions, position) >= 0;
    }

    @Override
    void output(int position, FloatBuffer row, int offset, long nanos) {
        int at = Arrays.binarySearch(positions, position) * width;
        for (int i = 0; i < width; i++) {
            float value = row.get(offset + i);
            if (!Float.isFinite(value)) {
                throw new NumericException("output " + i + " of the reward head at token " + position + " is " + value);
            }
            rewards[at + i] = value;
        }
        done(position + 1);
    }

    @Override
    float[] result() {
        return rewards;
    }
}
