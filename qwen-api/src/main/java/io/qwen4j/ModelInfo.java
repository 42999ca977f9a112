package io.qwen4j;

import java.util.Set;

/**
 * What a loaded model is.
 *
 * @param name directory or file name
 * @param architecture such as {@code qwen2}
 * @param parameters number of parameters
 * @param activeParameters number of parameters that a token is computed with; fewer than {@code parameters} in a mixture of experts
 * @param layers decoder layers
 * @param hiddenSize width of the residual stream
 * @param attentionHeads query heads
 * @param keyValueHeads key and value heads
 * @param headSize width of a head
 * @param experts routed experts of a layer that has some; 0 if no layer has
 * @param expertsUsed routed experts that a token uses in such a layer
 * @param vocabularyRows rows of the output layer; at least the tokenizer's size
 * @param contextLength longest sequence this model was loaded for, in tokens
 * @param modelContextLength longest sequence that the model was made for, in tokens: what its files state, or what {@link LoadOptions#yarn()}
 *     and {@link LoadOptions#dualChunk()} extend it to
 * @param positions in words, how positions are extended beyond the training length; {@code plain} if they are not
 * @param weightBytes memory of the weights
 * @param cacheBytes memory of the KV cache when full
 * @param backend where it computes, in words
 * @param endTokens ids that end an answer
 */
public record ModelInfo(
        String name,
        String architecture,
        long parameters,
        long activeParameters,
        int layers,
        int hiddenSize,
        int attentionHeads,
        int keyValueHeads,
        int headSize,
        int experts,
        int expertsUsed,
        int vocabularyRows,
        int contextLength,
        int modelContextLength,
        String positions,
        long weightBytes,
        long cacheBytes,
        String backend,
        Set<Integer> endTokens) {}
