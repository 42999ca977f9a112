package io.qwen4j.core.quant;

/**
 * Finds the scale of a group of values by trying several and solving for the best one in the least-squares sense, errors weighted by
 * importance: the published idea behind the K-quants. Values that are large matter more, because a product with them carries more of the
 * result.
 */
final class ScaleSearch {
    // Below this no half can hold the scale of a group; all its levels are zero.
    private static final float SMALLEST = 1e-12f;

    private ScaleSearch() {}

    /** The value of the largest magnitude, with its sign. */
    static float extreme(float[] x, int at, int n) {
        float extreme = 0;
        for (int i = at; i < at + n; i++) {
            extreme = Math.abs(x[i]) > Math.abs(extreme) ? x[i] : extreme;
        }
        return extreme;
    }

    /**
     * Sets the importance of each value of a group to its magnitude plus the group's root mean square, and that halved: the sum cannot
     * overflow, and a common factor is without effect.
     */
    static void importance(float[] x, int at, int n, float[] importance) {
        double squares = 0;
        for (int i = at; i < at + n; i++) {
            squares += (double) x[i] * x[i];
        }
        float typical = (float) Math.sqrt(squares / n) / 2;
        for (int i = 0; i < n; i++) {
            importance[i] = typical + Math.abs(x[at + i]) / 2;
        }
    }

    /**
     * The scale d, of either sign, for {@code x = d q} with levels q from {@code -half} to {@code half - 1}. The importance of a value is
     * its square.
     */
    static float symmetric(float[] x, int at, int n, int half) {
        float extreme = extreme(x, at, n);
        if (Math.abs(extreme) < SMALLEST) {
            return 0;
        }
        double best = -1;
        double scale = 0;
        // The extreme value is put near the one level without a mirror image, -half: 19 places, a tenth of a level apart.
        for (int step = -9; step <= 9; step++) {
            double inverse = -(half + 0.1 * step) / extreme;
            double products = 0;
            double squares = 0;
            for (int i = at; i < at + n; i++) {
                double v = x[i];
                double q = Math.max(-half, Math.min(half - 1, Math.rint(v * inverse)));
                double w = v * v * q;
                products += w * v;
                squares += w * q;
            }
            if (squares > 0 && products * products > best * squares) {
                best = products * products / squares;
                scale = products / squares;
            }
        }
        return (float) scale;
    }

    /**
     * Scale and minimum for {@code x = d q - m} with levels q from 0 to {@code top}, d and m not negative.
     *
     * @param importance weight of each value's error
     * @param first first place of the largest value, in levels relative to {@code top}; the following are a tenth of a level apart
     * @param places number of places tried
     * @param scales receives d at {@code group}
     * @param minimums receives m at {@code group}
     */
    static void withMinimum(
            float[] x, int at, int n, int top, float[] importance, double first, int places, float[] scales, float[] minimums, int group) {
        double low = 0;
        double high = x[at];
        double sumW = 0;
        double sumX = 0;
        for (int i = 0; i < n; i++) {
            low = Math.min(low, x[at + i]);
            high = Math.max(high, x[at + i]);
            sumW += importance[i];
            sumX += (double) importance[i] * x[at + i];
        }
        double range = high - low;
        scales[group] = 0;
        minimums[group] = (float) -low;
        if (range < SMALLEST) {
            return;
        }
        double best = Double.POSITIVE_INFINITY;
        // The first candidate is the plain one: lowest value at level 0, highest at the top.
        for (int place = -1; place < places; place++) {
            double inverse = (top + (place < 0 ? 0 : first + 0.1 * place)) / range;
            double sumL = 0;
            double sumLL = 0;
            double sumXL = 0;
            for (int i = 0; i < n; i++) {
                double v = x[at + i];
                int q = Math.min(top, (int) ((v - low) * inverse + 0.5));
                double wq = (double) importance[i] * q;
                sumL += wq;
                sumLL += wq * q;
                sumXL += wq * v;
            }
            double determinant = sumW * sumLL - sumL * sumL;
            double d = (sumW * sumXL - sumX * sumL) / determinant;
            double offset = (sumLL * sumX - sumL * sumXL) / determinant;
            // One and the same level everywhere leaves the offset open; a positive one cannot be stored.
            if (!(determinant > 0) || offset > 0) {
                offset = 0;
                d = sumXL / sumLL;
            }
            // The error up to the constant Σ w x².
            double error = d * d * sumLL + offset * offset * sumW + 2 * d * offset * sumL - 2 * d * sumXL - 2 * offset * sumX;
            if (error < best && d > 0) {
                best = error;
                scales[group] = (float) d;
                minimums[group] = (float) -offset;
            }
        }
    }

    /**
     * Stores the scale of a block as a half and returns its value. In the range of subnormal halves, where ordinary weights have the
     * scales of Q6_K, it is rounded away from zero: the integer scales of the groups make up for a scale that is too large, not for one
     * that is too small.
     */
    static float store(byte[] b, int at, float scale) {
        float magnitude = Math.abs(scale);
        if (magnitude >= 0x1p-14f || magnitude < SMALLEST) {
            return HalfFloats.putF16(b, at, scale);
        }
        return HalfFloats.putF16(b, at, (float) Math.copySign(Math.ceil(magnitude * 0x1p24) * 0x1p-24, scale));
    }

    /** The nearest whole number of steps, within bounds; 0 if the step is 0. */
    static int steps(float value, float step, int low, int high) {
        return step == 0 ? 0 : (int) Math.max(low, Math.min(high, Math.rint(value / step)));
    }
}
