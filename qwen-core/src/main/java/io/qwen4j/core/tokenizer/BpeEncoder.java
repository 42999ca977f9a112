package io.qwen4j.core.tokenizer;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Words to ids: the bytes of a word are merged by rank, leftmost first, until no pair merges. Thread-safe.
 *
 * <p>Short words go through a table of words seen before; it is direct-mapped, of fixed size, and a race between threads costs a miss at
 * most, because its entries never change.
 */
final class BpeEncoder {
    /** Longest word that is remembered, in characters. With {@link #CACHE_BITS} it bounds the table to about 6 MiB. */
    private static final int CACHED_LENGTH = 24;

    private static final int CACHE_BITS = 14;

    /** Words of more bytes than this are merged by {@link LongMerge}; below it scanning all pairs for the best one is faster. */
    private static final int SHORT_WORD = 96;

    /** A {@link LongMerge} that grew beyond this many positions (20 bytes each) is not kept for the next word. */
    private static final int KEPT_CAPACITY = 1 << 16;

    private final Merges merges;
    private final int[] byteIds;
    private final @Nullable Word[] cache = new @Nullable Word[1 << CACHE_BITS];
    private final AtomicReference<@Nullable LongMerge> idle = new AtomicReference<>();

    private record Word(int hash, char[] text, int[] ids) {}

    /**
     * An encoder.
     *
     * @param byteIds the token of each byte
     */
    BpeEncoder(Merges merges, int[] byteIds) {
        this.merges = merges;
        this.byteIds = byteIds;
    }

    /** Appends the ids of a word; the text has no lone surrogates. */
    void encode(char[] text, int from, int end, IntList ids) {
        int length = end - from;
        if (length == 1 && text[from] < 0x80) {
            ids.add(byteIds[text[from]]);
            return;
        }
        if (length > CACHED_LENGTH) {
            merge(text, from, end, ids);
            return;
        }
        int hash = length;
        for (int i = from; i < end; i++) {
            hash = hash * 31 + text[i];
        }
        hash *= 0x9e3779b1;
        int slot = hash >>> (32 - CACHE_BITS);
        Word word = cache[slot];
        if (word != null && word.hash == hash && Arrays.equals(word.text, 0, word.text.length, text, from, end)) {
            ids.addAll(word.ids, 0, word.ids.length);
            return;
        }
        int before = ids.size();
        merge(text, from, end, ids);
        cache[slot] = new Word(hash, Arrays.copyOfRange(text, from, end), ids.toArray(before));
    }

    private void merge(char[] text, int from, int end, IntList ids) {
        int[] symbols = new int[3 * (end - from)];
        int n = bytes(text, from, end, symbols);
        int kept = n <= SHORT_WORD ? mergeShort(symbols, n) : mergeLong(symbols, n);
        ids.addAll(symbols, 0, kept);
    }

    /** Writes the token of each UTF-8 byte of a word and returns their number. */
    private int bytes(char[] text, int from, int end, int[] symbols) {
        int n = 0;
        for (int i = from; i < end; i++) {
            int c = text[i];
            if (c < 0x80) {
                symbols[n++] = byteIds[c];
            } else if (c < 0x800) {
                symbols[n++] = byteIds[0xc0 | c >> 6];
                symbols[n++] = byteIds[0x80 | c & 0x3f];
            } else if (Character.isHighSurrogate((char) c)) {
                int codePoint = Character.toCodePoint((char) c, text[++i]);
                symbols[n++] = byteIds[0xf0 | codePoint >> 18];
                symbols[n++] = byteIds[0x80 | codePoint >> 12 & 0x3f];
                symbols[n++] = byteIds[0x80 | codePoint >> 6 & 0x3f];
                symbols[n++] = byteIds[0x80 | codePoint & 0x3f];
            } else {
                symbols[n++] = byteIds[0xe0 | c >> 12];
                symbols[n++] = byteIds[0x80 | c >> 6 & 0x3f];
                symbols[n++] = byteIds[0x80 | c & 0x3f];
            }
        }
        return n;
    }

    private int mergeShort(int[] symbols, int count) {
        int n = count;
        int[] ranks = new int[n];
        for (int i = 0; i + 1 < n; i++) {
            ranks[i] = merges.rank(symbols[i], symbols[i + 1]);
        }
        while (n > 1) {
            int best = 0;
            for (int i = 1; i < n - 1; i++) {
                if (ranks[i] < ranks[best]) {
                    best = i;
                }
            }
            if (ranks[best] == Merges.NONE) {
                break;
            }
            symbols[best] = merges.result(ranks[best]);
            n--;
            for (int i = best + 1; i < n; i++) {
                symbols[i] = symbols[i + 1];
                ranks[i] = ranks[i + 1];
            }
            if (best > 0) {
                ranks[best - 1] = merges.rank(symbols[best - 1], symbols[best]);
            }
            if (best + 1 < n) {
                ranks[best] = merges.rank(symbols[best], symbols[best + 1]);
            }
        }
        return n;
    }

    private int mergeLong(int[] symbols, int n) {
        LongMerge merger = idle.getAndSet(null);
        if (merger == null) {
            merger = new LongMerge(merges);
        }
        int kept = merger.merge(symbols, n);
        if (merger.capacity() <= KEPT_CAPACITY) {
            idle.set(merger);
        }
        return kept;
    }
}
