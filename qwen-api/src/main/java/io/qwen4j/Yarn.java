package io.qwen4j;

import java.util.Objects;

/**
 * How a model's positions are stretched by YaRN (Peng et al., 2309.00071), so that it can be used at a multiple of its training length
 * without training: the slow dimensions of the rotary embedding are interpolated, the fast ones stay, and logits of attention are sharpened.
 * Qwen2.5 models of 32,768 tokens are published for four times that.
 *
 * <p>It costs no time and no memory, but changes short texts slightly for the worse; {@link Mode#AUTO} keeps them as they are. Where a
 * number is 0, the model's files say it, else the stated default holds. Immutable.
 *
 * @param mode when it is in effect
 * @param factor how many times the original length is wanted, above 0 and below 10^6; 0 takes that of the files, and models whose files
 *     state none are refused
 * @param originalContextLength training length in tokens; 0 takes that of the files, which is the model's context length where they state
 *     no scaling
 * @param attentionFactor factor on cosines and sines, above 0 and below 10^6; 0 takes that of the files unless {@code factor} replaces
 *     theirs, else computes {@code 0.1 ln(factor) + 1}
 * @param betaFast turns within the training length from which a dimension stays as it is, above 0 and below 10^6; 0 takes that of the
 *     files, else 32
 * @param betaSlow turns up to which a dimension is interpolated fully, not above {@code betaFast}; 0 takes that of the files, else 1
 */
public record Yarn(
        Mode mode, double factor, int originalContextLength, double attentionFactor, double betaFast, double betaSlow) {
    /** Positions stay as they were trained, whatever the files say. */
    public static final Yarn OFF = new Yarn(Mode.OFF, 0, 0, 0, 0, 0);

    /** When positions are stretched. */
    public enum Mode {
        /** In every request, as other runtimes do. */
        STATIC,
        /**
         * Only in requests that need it: those whose prompt and {@link GenerationOptions#maxTokens()} together exceed the original length.
         * An answer without that bound begins with plain positions; when it outgrows the original length, all of it is computed again
         * with stretched ones, once, and goes on. Texts to be scored or embedded are stretched if they are longer than the original length.
         */
        AUTO,
        /** Never. */
        OFF
    }

    /** Checks the ranges. */
    public Yarn {
        Objects.requireNonNull(mode, "mode");
        positive("factor", factor);
        positive("attentionFactor", attentionFactor);
        positive("betaFast", betaFast);
        positive("betaSlow", betaSlow);
        Checks.range("originalContextLength", originalContextLength, 0, Integer.MAX_VALUE);
        if (betaFast != 0 && betaSlow > betaFast) {
            throw new IllegalArgumentException("betaSlow must be at most betaFast, which is " + betaFast + ", found " + betaSlow);
        }
    }

    private static void positive(String name, double value) {
        // Written so that NaN fails.
        if (!(value >= 0 && value < 1e6)) {
            throw new IllegalArgumentException(
                    name + " must be above 0 and below 1000000, or 0 for what the files say or follows, found " + value);
        }
    }

    /**
     * Stretches all requests.
     *
     * @param factor how many times the original length is wanted, above 0 and below 10^6; 0 takes that of the files
     * @return the setting
     */
    public static Yarn of(double factor) {
        return new Yarn(Mode.STATIC, factor, 0, 0, 0, 0);
    }

    /**
     * The same for requests that exceed the original length only.
     *
     * @return a setting with {@link Mode#AUTO}
     */
    public Yarn auto() {
        return new Yarn(Mode.AUTO, factor, originalContextLength, attentionFactor, betaFast, betaSlow);
    }

    /**
     * The same with another training length.
     *
     * @param tokens the length, or 0 for what the files say
     * @return the setting
     */
    public Yarn from(int tokens) {
        return new Yarn(mode, factor, tokens, attentionFactor, betaFast, betaSlow);
    }
}
