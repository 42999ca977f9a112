package io.qwen4j;

/**
 * What the engine is doing.
 *
 * @param running requests being computed, or paused for a slow reader
 * @param waiting requests in the queue
 * @param promptTokens prompt tokens computed since loading
 * @param generatedTokens tokens generated since loading
 * @param draftedTokens tokens computed ahead since loading, see {@link GenerationOptions#promptLookup()}
 * @param acceptedTokens those of them that the model chose, too; each saved a step
 * @param cacheTokensUsed tokens held in the KV cache
 * @param cacheTokens tokens that the KV cache can hold
 */
public record EngineStats(
        int running,
        int waiting,
        long promptTokens,
        long generatedTokens,
        long draftedTokens,
        long acceptedTokens,
        long cacheTokensUsed,
        long cacheTokens) {}
