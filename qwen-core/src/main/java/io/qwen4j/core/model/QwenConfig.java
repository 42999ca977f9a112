package io.qwen4j.core.model;

import org.jspecify.annotations.Nullable;

/**
 * Hyper-parameters of a decoder, checked and complete, from config.json or GGUF metadata.
 *
 * @param architecture {@code qwen2}
 * @param layers decoder layers
 * @param hiddenSize D
 * @param heads H
 * @param kvHeads K, a divisor of H
 * @param headSize E, a multiple of 16
 * @param ffnSize F
 * @param vocabularyRows V, rows of the embedding
 * @param tiedHead whether the output layer is the embedding
 * @param normEpsilon added to the mean square in RMSNorm
 * @param contextLength longest sequence that the files state, in tokens
 * @param rope rotary position embedding
 */
public record QwenConfig(
        String architecture,
        int layers,
        int hiddenSize,
        int heads,
        int kvHeads,
        int headSize,
        int ffnSize,
        int vocabularyRows,
        boolean tiedHead,
        float normEpsilon,
        int contextLength,
        Rope rope) {
    /**
     * Rotary position embedding.
     *
     * @param theta base of the frequencies
     * @param yarn YaRN scaling, or null for none
     */
    public record Rope(double theta, @Nullable Yarn yarn) {}

    /**
     * YaRN scaling (Peng et al., 2309.00071) in the static form, with {@code factor} honoured.
     *
     * @param factor s, above 0
     * @param originalContextLength training length in tokens
     * @param attentionFactor factor on cosines and sines, computed already where the files leave it out
     * @param betaFast turns above which a dimension is kept
     * @param betaSlow turns below which a dimension is interpolated
     * @param truncate whether the borders are rounded to whole dimensions
     */
    public record Yarn(
            double factor, int originalContextLength, double attentionFactor, double betaFast, double betaSlow, boolean truncate) {}
}
