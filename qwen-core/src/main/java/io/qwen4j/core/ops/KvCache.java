package io.qwen4j.core.ops;

/**
 * Pages of keys and values owned by a backend. For each layer and page: K then V, each (kvHeads, pageTokens, headSize). Memory is committed
 * when a page is first written, not when the cache is made.
 *
 * <p>With {@link io.qwen4j.KvCacheType#INT8} a row x of E elements is kept as {@code scale = max|x| / 127} (f32) and
 * {@code x / scale} rounded to the nearest integer, halves to even. What is kept of a key is {@code k - c}: the centre c (f16) of its page
 * and head is written with the page's first token. A score is {@code q·(k - c) + q·c}, so any centre is right, also for the differently
 * rotated queries of dual chunk attention; a near one leaves little to round.
 */
public interface KvCache extends AutoCloseable {
    /** Its shape. */
    KvLayout layout();

    /** Frees it. Idempotent; never while an operation uses it. */
    @Override
    void close();
}
