package io.qwen4j.core.model;

import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;

/** Which type each matrix gets when a model is quantized. */
final class QuantizationPlan {
    private QuantizationPlan() {}

    /** The type of a matrix. */
    static WeightType typeOf(QwenConfig config, TensorSource matrix, WeightType wanted) {
        return fitting(wanted, matrix.columns());
    }

    /**
     * The wanted type, or where a row is no whole number of its blocks the one that takes its place by the GGUF convention: a 32-block type of
     * about the same size, and F16 where a row is not even a multiple of 32.
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
