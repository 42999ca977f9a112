package io.qwen4j.core.cache;

import java.util.Arrays;

/** The pages of one sequence, in the order of its tokens. Not thread-safe: the engine thread owns it. */
public final class PageTable implements AutoCloseable {
    private final KvPages pool;
    private int[] pages = new int[4];
    private int count;
    private boolean closed;

    /** Makes an empty table. */
    public PageTable(KvPages pool) {
        this.pool = pool;
    }

    /**
     * Takes the pages that are missing for a number of tokens.
     *
     * @param tokens tokens that the sequence will have in the cache
     * @return whether the pool had enough; if not, nothing was taken
     */
    public boolean reserve(int tokens) {
        if (closed) {
            throw new IllegalStateException("the page table is closed");
        }
        int needed = KvPages.pagesFor(tokens);
        if (needed - count > pool.free()) {
            return false;
        }
        if (needed > pages.length) {
            pages = Arrays.copyOf(pages, Math.max(needed, 2 * pages.length));
        }
        while (count < needed) {
            pages[count++] = pool.take();
        }
        return true;
    }

    /** Gives back the pages beyond a number of tokens. */
    public void trim(int tokens) {
        int kept = KvPages.pagesFor(tokens);
        while (count > kept) {
            pool.giveBack(pages[--count]);
        }
    }

    /** The page numbers; the first {@link #count()} are in use. Another array after {@link #reserve} had to grow it. */
    public int[] pages() {
        return pages;
    }

    /** Pages held. */
    public int count() {
        return count;
    }

    /** Tokens that the held pages have room for. */
    public int capacity() {
        return count * KvPages.PAGE_TOKENS;
    }

    /** Gives all pages back. Idempotent. */
    @Override
    public void close() {
        trim(0);
        closed = true;
    }
}
