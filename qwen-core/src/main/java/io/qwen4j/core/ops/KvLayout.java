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
    /** Bytes of one token in all layers, keys and values. */
    public long tokenBytes() {
        return Math.multiplyExact(2L * layers * kvHeads, (long) headSize * type.bytes());
    }

    /** Bytes of the whole pool. */
    public long bytes() {
        return Math.multiplyExact(Math.multiplyExact((long) pages, pageTokens), tokenBytes());
    }
}
