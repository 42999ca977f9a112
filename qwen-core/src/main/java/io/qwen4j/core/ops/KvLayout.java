package io.qwen4j.core.ops;

import io.qwen4j.KvCacheType;

/**
 * The shape of a KV cache.
 *
 * @param type storage of a value
 * @param layers decoder layers
 * @param pages pages in the pool
 * @param pageTokens tokens in a page
 * @param kvHeads K
 * @param headSize E, a multiple of 16
 */
public record KvLayout(KvCacheType type, int layers, int pages, int pageTokens, int kvHeads, int headSize) {
    /** Whether keys are kept less the centre of their page, for which rotations have a section. */
    public boolean keysCentred() {
        return type == KvCacheType.INT8;
    }

    /** Bytes of one page in all layers, keys and values. */
    public long pageBytes() {
        long rows = 2L * pageTokens;
        long headBytes = Math.multiplyExact(rows, (long) headSize * type.bytes());
        if (type == KvCacheType.INT8) {
            // A scale of 4 bytes for each row, a centre of 2 bytes for each element.
            headBytes = Math.addExact(headBytes, 4 * rows + 2L * headSize);
        }
        return Math.multiplyExact(Math.multiplyExact((long) layers, kvHeads), headBytes);
    }

    /** Bytes of the whole pool. */
    public long bytes() {
        return Math.multiplyExact(pages, pageBytes());
    }
}
