package io.qwen4j.core.model;

import io.qwen4j.core.model.QwenConfig.Rope;
import io.qwen4j.core.model.QwenConfig.Yarn;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import java.nio.FloatBuffer;

/**
 * Rotary position embedding: angles and their cosines and sines in f64, rounded to f32 once. In f32 the angle itself would be off by up
 * to 0.03 at position 10^6.
 */
public final class Rotary {
    private final double[] frequencies;
    private final double factor;

    /**
     * Computes the frequencies.
     *
     * @param rope base and scaling
     * @param headSize E
     */
    public Rotary(Rope rope, int headSize) {
        frequencies = new double[headSize / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = Math.pow(rope.theta(), -2.0 * i / headSize);
        }
        Yarn yarn = rope.yarn();
        factor = yarn == null ? 1 : yarn.attentionFactor();
        if (yarn != null) {
            stretch(yarn, rope.theta(), headSize);
        }
    }

    /** YaRN: fast dimensions stay, slow ones are interpolated, with a ramp in between. */
    private void stretch(Yarn yarn, double theta, int headSize) {
        double low = dimension(yarn.betaFast(), yarn, theta, headSize);
        double high = dimension(yarn.betaSlow(), yarn, theta, headSize);
        low = Math.max(yarn.truncate() ? Math.floor(low) : low, 0);
        high = Math.min(yarn.truncate() ? Math.ceil(high) : high, headSize - 1);
        double width = low == high ? 0.001 : high - low;
        for (int i = 0; i < frequencies.length; i++) {
            double ramp = Math.max(0, Math.min(1, (i - low) / width));
            frequencies[i] = (1 - ramp) * frequencies[i] + ramp * frequencies[i] / yarn.factor();
        }
    }

    /** The dimension (as a real number) whose wave makes {@code turns} turns within the training length. */
    private static double dimension(double turns, Yarn yarn, double theta, int headSize) {
        return headSize * Math.log(yarn.originalContextLength() / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
    }

    /** Angle per position of pair i. */
    double frequency(int i) {
        return frequencies[i];
    }

    /** Factor on cosines and sines. */
    double factor() {
        return factor;
    }

    /** Writes for each token of the batch the cosines of the E/2 angles of its position, then their sines. */
    public void fill(Batch batch, Activation rotation) {
        FloatBuffer out = rotation.buffer();
        int half = frequencies.length;
        for (int t = 0; t < batch.tokens(); t++) {
            int at = t * 2 * half;
            int position = batch.position(t);
            for (int i = 0; i < half; i++) {
                double angle = position * frequencies[i];
                out.put(at + i, (float) (factor * Math.cos(angle)));
                out.put(at + half + i, (float) (factor * Math.sin(angle)));
            }
        }
    }
}
