package io.qwen4j.core.cache;

import java.util.BitSet;

/**
 * The pool of page numbers of a KV cache. Taking and giving back are O(1). The page given back last is taken first, and a fresh pool
 * starts at page 0, so that no more pages are ever touched than were held at a time: a page's memory is committed when it is first written.
 *
 * <p>Not thread-safe: the engine thread owns it.
 */
public final class KvPages {
    /**
     * Tokens in a page. With 32 a sequence wastes 16 tokens on average (192 KiB of a 0.5B model, half precision), a table of 32,768
     * tokens has 1024 entries, and a head's keys in a page are 4 KiB (head size 64) or 8 KiB (128) in one piece, enough for full memory
     * bandwidth.
     */
    public static final int PAGE_TOKENS = 32;

    private final int[] free;
    private final BitSet taken;
    private int freeCount;

    /** Makes a pool of the pages 0 to {@code pages - 1}. */
    public KvPages(int pages) {
        if (pages < 1) {
            throw new IllegalArgumentException("a pool of " + pages + " pages");
        }
        free = new int[pages];
        taken = new BitSet(pages);
        for (int i = 0; i < pages; i++) {
            free[i] = pages - 1 - i;
        }
        freeCount = pages;
    }

    /** Pages that hold a number of tokens. */
    public static int pagesFor(long tokens) {
        return Math.toIntExact(Math.floorDiv(tokens + PAGE_TOKENS - 1, PAGE_TOKENS));
    }

    /** Pages of the pool. */
    public int pages() {
        return free.length;
    }

    /** Pages that nobody holds. */
    public int free() {
        return freeCount;
    }

    /** Pages that somebody holds. */
    public int used() {
        return free.length - freeCount;
    }

    /** Takes a page; there must be a free one. */
    int take() {
        if (freeCount == 0) {
            throw new IllegalStateException("all " + free.length + " pages are taken");
        }
        int page = free[--freeCount];
        taken.set(page);
        return page;
    }

    /** Gives a page back that was taken. */
    void giveBack(int page) {
        if (page < 0 || page >= free.length || !taken.get(page)) {
            throw new IllegalStateException("page " + page + " is not taken");
        }
        taken.clear(page);
        free[freeCount++] = page;
    }
}
