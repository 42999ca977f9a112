package io.qwen4j.core.format;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.model.QwenConfig;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Ranges of hyper-parameters, whatever file they are from. */
public final class ConfigChecks {
    /** Bound on widths; the 72B model has F = 29568. */
    public static final int MAX_WIDTH = 1 << 20;
    /** Bound on head counts; the 72B model has 64. */
    public static final int MAX_HEADS = 4096;

    /** Bound on the number of experts; published models have 60 and 64. */
    public static final int MAX_EXPERTS = 4096;

    /** Bound on factors of YaRN; published ones are 2 to 8. */
    private static final double MAX_FACTOR = 1_000_000;
    /** Bound on chunks of dual chunk attention, so that twice a chunk is an int; published ones have 262,144. */
    public static final int MAX_CHUNK = 1 << 30;

    private ConfigChecks() {}

    /** Checks what can be checked without tensors. */
    public static void check(QwenConfig c, Path file) {
        if (c.kvHeads() > c.heads() || c.heads() % c.kvHeads() != 0) {
            throw config(file, "the number of kv heads is " + c.kvHeads() + ", expected a divisor of the number of heads " + c.heads());
        }
        if ((long) c.heads() * c.headSize() > MAX_WIDTH) {
            throw config(file, c.heads() + " heads of size " + c.headSize() + " are wider than " + MAX_WIDTH);
        }
        if (c.headSize() % 16 != 0) {
            throw FormatError.of(
                    Reason.UNSUPPORTED, file, "the head size is " + c.headSize() + "; multiples of 16 are supported");
        }
        // Written so that NaN fails.
        if (!(c.normEpsilon() > 0 && c.normEpsilon() < 1)) {
            throw config(file, "the epsilon of RMSNorm is " + c.normEpsilon() + ", expected a number above 0 and below 1");
        }
        if (!(c.rope().theta() > 1 && c.rope().theta() < 1e30)) {
            throw config(file, "the base of RoPE (rope_theta) is " + c.rope().theta() + ", expected a number above 1");
        }
        String fault = fault(c.rope(), c.headSize());
        if (fault != null) {
            throw config(file, fault);
        }
    }

    /** What is wrong with the numbers of YaRN, in words, or null. The comparisons are written so that NaN fails. */
    public static @Nullable String fault(QwenConfig.Rope rope, int headSize) {
        QwenConfig.Yarn yarn = rope.yarn();
        if (yarn == null) {
            return null;
        }
        if (!(yarn.factor() > 0 && yarn.factor() < MAX_FACTOR)) {
            return "the factor of YaRN is " + yarn.factor() + ", expected a number above 0 and below " + MAX_FACTOR;
        }
        if (!(yarn.attentionFactor() > 0 && yarn.attentionFactor() < MAX_FACTOR)) {
            return "the attention factor of YaRN is " + yarn.attentionFactor() + ", expected a number above 0 and below " + MAX_FACTOR;
        }
        if (!(yarn.betaSlow() > 0 && yarn.betaFast() >= yarn.betaSlow() && yarn.betaFast() < MAX_FACTOR)) {
            return "beta_fast and beta_slow of YaRN are " + yarn.betaFast() + " and " + yarn.betaSlow()
                    + ", expected numbers above 0 and below " + MAX_FACTOR + ", beta_fast not below beta_slow";
        }
        double low = yarn.low(rope.theta(), headSize);
        double high = yarn.high(rope.theta(), headSize);
        if (!(low <= high)) {
            // Then nothing, or everything, would be interpolated: the formula would hold, the model would not.
            return "YaRN from an original length of " + yarn.originalContextLength() + " tokens with beta_fast " + yarn.betaFast()
                    + " and beta_slow " + yarn.betaSlow() + " keeps dimensions up to " + low + " and interpolates those from " + high
                    + "; the second must not be below the first";
        }
        return null;
    }

    /** The longest sequence: what the files state, or what YaRN extends the original length to. */
    public static int contextLength(int stated, QwenConfig.Rope rope) {
        QwenConfig.Yarn yarn = rope.yarn();
        if (yarn == null) {
            return stated;
        }
        double extended = Math.min(Integer.MAX_VALUE, yarn.factor() * yarn.originalContextLength());
        return Math.max(stated, (int) extended);
    }

    /** The attention factor of YaRN that follows from its factor (Peng et al., 2309.00071, equation 22). */
    public static double yarnScale(double factor, double multiplier) {
        return factor <= 1 ? 1 : 0.1 * multiplier * Math.log(factor) + 1;
    }

    private static ModelFileException config(Path file, String message) {
        return FormatError.of(Reason.CONFIG, file, message);
    }
}
