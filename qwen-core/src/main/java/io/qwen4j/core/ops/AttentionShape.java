package io.qwen4j.core.ops;

/**
 * The shape of an attention layer, plain or dual chunk (An et al., 2402.17463). A row of q, k and v together is
 * {@code (heads + 2 * kvHeads) * headSize} wide: all query heads, then all key heads, then all value heads.
 *
 * @param heads H, a multiple of {@code kvHeads}
 * @param kvHeads K; query head h reads kv head {@code h / (heads / kvHeads)}
 * @param headSize E, a multiple of 16
 * @param scale factor on q·k
 * @param chunkLength C: the token at position p is in chunk p / C; 0 for plain attention
 * @param keysCentred {@link KvLayout#keysCentred()} of its cache
 */
public record AttentionShape(int heads, int kvHeads, int headSize, float scale, int chunkLength, boolean keysCentred) {
    /** Over a cache that keeps keys as they are. */
    public AttentionShape(int heads, int kvHeads, int headSize, float scale, int chunkLength) {
        this(heads, kvHeads, headSize, scale, chunkLength, false);
    }

    /** Plain attention over a cache that keeps keys as they are. */
    public AttentionShape(int heads, int kvHeads, int headSize, float scale) {
        this(heads, kvHeads, headSize, scale, 0);
    }

    /** The section of {@link Rotations} with which the query at a position is rotated for the key at another one. */
    public int section(int query, int key) {
        if (chunkLength == 0) {
            return Rotations.KEY;
        }
        return Math.min(Rotations.SAME_CHUNK + query / chunkLength - key / chunkLength, Rotations.OLDER_CHUNKS);
    }

    /** Width of a row of rotations. */
    public int rotationWidth() {
        return Rotations.sections(chunkLength > 0, keysCentred) * headSize;
    }

    /** Place of the centre in a row of rotations, for centred keys. */
    public int centreAt() {
        return rotationWidth() - headSize;
    }

    /** Width of a row of q, k and v together. */
    public int qkvWidth() {
        return (heads + 2 * kvHeads) * headSize;
    }

    /** Width of a row of all query heads. */
    public int queryWidth() {
        return heads * headSize;
    }
}
