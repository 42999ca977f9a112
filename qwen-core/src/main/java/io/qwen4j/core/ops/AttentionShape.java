package io.qwen4j.core.ops;

/**
 * The shape of an attention layer. A row of q, k and v together is {@code (heads + 2 * kvHeads) * headSize} wide: all query heads, then all
 * key heads, then all value heads.
 *
 * @param heads H, a multiple of {@code kvHeads}
 * @param kvHeads K; query head h reads kv head {@code h / (heads / kvHeads)}
 * @param headSize E, a multiple of 16
 * @param scale factor on q·k
 */
public record AttentionShape(int heads, int kvHeads, int headSize, float scale) {
    /** Width of a row of q, k and v together. */
    public int qkvWidth() {
        return (heads + 2 * kvHeads) * headSize;
    }

    /** Width of a row of all query heads. */
    public int queryWidth() {
        return heads * headSize;
    }
}
