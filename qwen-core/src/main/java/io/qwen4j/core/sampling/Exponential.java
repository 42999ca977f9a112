package io.qwen4j.core.sampling;

/**
 * The exponential function of numbers up to 0. It is written out because {@link Math#exp} may differ in the last bit between JDKs, and then a
 * seed would not give the same tokens; and because a row of logits needs 152,000 of them: 7 ns each, where Math.exp takes 6 to 18, and less
 * in the blocks of {@link Exponentials}.
 */
final class Exponential {
    /** Below, the result is less than 1e-304; taken as 0 it stays clear of subnormal numbers. */
    private static final double LEAST = -700;

    private static final double LOG2_E = 1.4426950408889634;
    /** The natural logarithm of 2 in two parts, the first with so few bits that its multiples here are exact. */
    private static final double LN2_HIGH = 0x1.62e42fefa38p-1;

    private static final double LN2_LOW = 0x1.ef35793c7673p-45;
    /** Added and subtracted, it rounds to an integer, which meanwhile stands in the low bits. */
    private static final double ROUND = 0x1.8p52;

    private Exponential() {}

    /** e to the power of x, which is at most 0; the relative error is below 1e-14. */
    static double of(double x) {
        double shifted = shifted(x);
        return scaled(x, shifted, series(x, shifted));
    }

    /** The multiple of the logarithm of 2 that is next to x, as an integer in the low bits. */
    static double shifted(double x) {
        return x * LOG2_E + ROUND;
    }

    /** The exponential of what the multiple leaves of x; of no meaning where the result is 0. */
    static double series(double x, double shifted) {
        double n = shifted - ROUND;
        double r = x - n * LN2_HIGH - n * LN2_LOW;
        // The Taylor series to degree 11: |r| is at most ln(2) / 2, so that the rest is below 7e-15.
        double p = 1.0 / 39916800;
        p = p * r + 1.0 / 3628800;
        p = p * r + 1.0 / 362880;
        p = p * r + 1.0 / 40320;
        p = p * r + 1.0 / 5040;
        p = p * r + 1.0 / 720;
        p = p * r + 1.0 / 120;
        p = p * r + 1.0 / 24;
        p = p * r + 1.0 / 6;
        p = p * r + 0.5;
        p = p * r + 1;
        return p * r + 1;
    }

    /** The series times the power of 2. */
    static double scaled(double x, double shifted, double series) {
        if (!(x >= LEAST)) {
            return 0;
        }
        return Double.longBitsToDouble(Double.doubleToRawLongBits(series) + (Double.doubleToRawLongBits(shifted) << 52));
    }
}
