package io.qwen4j.core.ops;

/**
 * Pages of keys and values owned by a backend. For each layer and page: K then V, each (kvHeads, pageTokens, headSize). Memory is committed
 * when a page is first written, not when the cache is made.
 */
public interface KvCache extends AutoCloseable {
    /** Its shape. */
    KvLayout layout();

    /** Frees it. Idempotent; never while an operation uses it. */
    @Override
    void close();
}
