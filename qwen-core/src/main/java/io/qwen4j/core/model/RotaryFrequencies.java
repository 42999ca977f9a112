package io.qwen4j.core.model;

import io.qwen4j.core.model.QwenConfig.Yarn;
import java.nio.FloatBuffer;

/** Angles per position of the E/2 pairs of a head, and a factor on cosines and sines. */
final class RotaryFrequencies {
    private final double[] frequencies;
    private final double factor;

    private RotaryFrequencies(double[] frequencies, double factor) {
        this.frequencies = frequencies;
        this.factor = factor;
    }

    /** {@code theta^(-2i/E)}. */
    static RotaryFrequencies plain(double theta, int headSize) {
        double[] frequencies = new double[headSize / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = Math.pow(theta, -2.0 * i / headSize);
        }
        return new RotaryFrequencies(frequencies, 1);
    }

    /** YaRN: fast dimensions stay, slow ones are interpolated, with a ramp in between. */
    RotaryFrequencies stretch(Yarn yarn, double theta) {
        int headSize = 2 * frequencies.length;
        double low = yarn.low(theta, headSize);
        double high = yarn.high(theta, headSize);
        double width = low == high ? 0.001 : high - low;
        double[] stretched = new double[frequencies.length];
        for (int i = 0; i < frequencies.length; i++) {
            double ramp = Math.max(0, Math.min(1, (i - low) / width));
            stretched[i] = (1 - ramp) * frequencies[i] + ramp * frequencies[i] / yarn.factor();
        }
        return new RotaryFrequencies(stretched, yarn.attentionFactor());
    }

    /** Angle per position of pair i. */
    double frequency(int i) {
        return frequencies[i];
    }

    /** Factor on cosines and sines. */
    double factor() {
        return factor;
    }

    /**
     * Writes the means of the cosines of the E/2 angles over the positions {@code first .. first + count - 1}, then those of the sines, all
     * times {@link #factor()}: 1 for slow pairs, nearly 0 for those that turn around within {@code count} positions.
     */
    void writeMean(long first, int count, FloatBuffer out, int at) {
        int half = frequencies.length;
        for (int i = 0; i < half; i++) {
            double turn = frequencies[i] / 2;
            // The sum of e^(i k f) over k = 0 .. n - 1 is e^(i (n - 1) f / 2) sin(n f / 2) / sin(f / 2).
            double length = turn == 0 ? 1 : Math.sin(count * turn) / (count * Math.sin(turn));
            double angle = (first + (count - 1) / 2.0) * frequencies[i];
            out.put(at + i, (float) (length * factor * Math.cos(angle)));
            out.put(at + half + i, (float) (length * factor * Math.sin(angle)));
        }
    }

    /** Writes the cosines of the E/2 angles of a position, then their sines, all times {@link #factor()} and {@code scale}. */
    void write(long position, double scale, FloatBuffer out, int at) {
        int half = frequencies.length;
        for (int i = 0; i < half; i++) {
            double angle = position * frequencies[i];
            out.put(at + i, (float) (scale * factor * Math.cos(angle)));
            out.put(at + half + i, (float) (scale * factor * Math.sin(angle)));
        }
    }
}
