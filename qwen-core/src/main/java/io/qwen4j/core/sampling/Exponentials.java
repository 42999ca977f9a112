package io.qwen4j.core.sampling;

/**
 * The exponentials of a block of numbers up to 0, bit for bit those of {@link Exponential#of}, which is their definition. The arithmetic
 * stands in loops of its own, since the JIT vectorises it there (2.3 ns a number against 6.5) but not the moves between number and bits.
 */
final class Exponentials {
    /** Numbers of a block: three arrays of them stay in the first-level cache. */
    static final int BLOCK = 512;

    private final double[] x = new double[BLOCK];
    /** Multiples of the logarithm of 2, the integer in the low bits. */
    private final double[] shifted = new double[BLOCK];

    private final double[] series = new double[BLOCK];

    /**
     * Takes (logits[i] - max) / temperature for n logits. Differences are divided, not logits: so the smallest temperature gives weights
     * of 0 and 1 and nothing infinite.
     *
     * @param from first logit
     * @param n how many, at most {@link #BLOCK}
     */
    void takeRow(float[] logits, int from, int n, float max, float temperature) {
        double[] to = x;
        for (int i = 0; i < n; i++) {
            to[i] = (double) logits[from + i] - max;
        }
        compute(n, temperature);
    }

    /** Takes the same of the logits of n candidates. */
    void takeCandidates(float[] logits, Candidates candidates, int from, int n, float max, float temperature) {
        double[] to = x;
        for (int i = 0; i < n; i++) {
            to[i] = (double) logits[candidates.id(from + i)] - max;
        }
        compute(n, temperature);
    }

    /** Takes the same of logits that were sorted: they stand there in order, where looking them up by id leaves the nearest cache. */
    void takeKeys(CandidateOrder order, int from, int n, float max, float temperature) {
        double[] to = x;
        for (int i = 0; i < n; i++) {
            to[i] = (double) order.key(from + i) - max;
        }
        compute(n, temperature);
    }

    /** The exponential of a number that was taken. */
    double get(int i) {
        return Exponential.scaled(x[i], shifted[i], series[i]);
    }

    private void compute(int n, double temperature) {
        double[] from = x;
        double[] multiples = shifted;
        double[] to = series;
        if (temperature != 1) {
            for (int i = 0; i < n; i++) {
                from[i] /= temperature;
            }
        }
        for (int i = 0; i < n; i++) {
            double multiple = Exponential.shifted(from[i]);
            multiples[i] = multiple;
            to[i] = Exponential.series(from[i], multiple);
        }
    }
}
