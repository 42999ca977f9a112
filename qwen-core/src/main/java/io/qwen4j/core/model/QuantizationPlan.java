package io.qwen4j.core.model;

import io.qwen4j.WeightType;

/**
 * Which type each tensor gets when a model is quantized: the wanted one, with exceptions that llama.cpp's quantizer makes, too.
 *
 * <p>The matrix of the output layer (the embedding where the head is tied) gets Q6_K if the wanted type has fewer bits: every token's
 * choice hangs on it. Perplexity of tiny-qwen on conversations, where BF16 has 1.2498: 1.2651 with all of it in Q2_K, 1.2513 with a Q6_K
 * head; 1.2509 with all of it in Q4_K, 1.2501 with a Q6_K head.
 *
 * <p>Vectors are F32, and so is what chooses and weighs experts: it is small, and a wrong choice costs more than any rounding.
 *
 * <p>A row that is no whole number of blocks gets another type; see {@link #fitting}.
 */
final class QuantizationPlan {
    private QuantizationPlan() {}

    /**
     * Whether a tensor is converted while loading. A reward head stays as its file has it: it is smaller than any layer, and errors of the
     * golden rewards with all else in Q4_0 are 0.38 of their standard deviation (root mean square), 0.44 with the head in Q4_0, too.
     */
    static boolean converts(QwenTensors.Expected tensor) {
        return tensor.matrix() && !tensor.name().equals(QwenTensors.REWARD_HIDDEN) && !tensor.name().equals(QwenTensors.REWARD_OUTPUT);
    }

    /** The type of a tensor. */
    static WeightType typeOf(QwenConfig config, QwenTensors.Expected tensor, WeightType wanted) {
        if (!tensor.matrix() || tensor.kind() == QwenTensors.Kind.ROW || tensor.name().endsWith("." + QwenTensors.ROUTER)) {
            return WeightType.F32;
        }
        boolean head = tensor.name().equals(config.tiedHead() ? QwenTensors.EMBEDDING : QwenTensors.HEAD);
        return fitting(head && isSmall(wanted) ? WeightType.Q6_K : wanted, tensor.columns());
    }

    /** Whether a type has fewer bits than Q6_K. */
    private static boolean isSmall(WeightType type) {
        WeightType large = WeightType.Q6_K;
        return type.blockBytes() * large.blockSize() < large.blockBytes() * type.blockSize();
    }

    /**
     * The wanted type, or where a row is no whole number of its blocks the one that takes its place by the GGUF convention: a 32-block
     * type of about the same size, and F16 where a row is not even a multiple of 32.
     */
    static WeightType fitting(WeightType wanted, long columns) {
        if (columns % wanted.blockSize() == 0) {
            return wanted;
        }
        WeightType smaller = switch (wanted) {
            case Q2_K, Q3_K, IQ4_XS -> WeightType.IQ4_NL;
            case Q4_K -> WeightType.Q5_0;
            case Q5_K -> WeightType.Q5_1;
            case Q6_K -> WeightType.Q8_0;
            default -> WeightType.F16;
        };
        return columns % smaller.blockSize() == 0 ? smaller : WeightType.F16;
    }
}
