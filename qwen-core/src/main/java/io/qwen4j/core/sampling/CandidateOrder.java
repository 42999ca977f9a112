package io.qwen4j.core.sampling;

import java.util.Arrays;

/**
 * Sorts token ids by a key, the greater first, of equal keys the lower id. A radix sort: when the distribution is flat most of the 152,000
 * ids are candidates, and whatever the keys are it passes over them three times (1.1 ms), where a heap moves each up to seventeen times.
 */
final class CandidateOrder {
    private static final int DIGIT_BITS = 11;
    private static final int DIGITS = 1 << DIGIT_BITS;
    /** The key stands above the id. */
    private static final int KEY_SHIFT = 32;

    private long[] entries;
    private long[] sorted;
    private final int[] places = new int[DIGITS];
    private int size;
    /** Whether ids were added in rising order; a stable sort by key then needs no look at them. */
    private boolean rising;

    CandidateOrder(int capacity) {
        // One more, for what is written and not taken.
        entries = new long[capacity + 1];
        sorted = new long[capacity + 1];
    }

    int size() {
        return size;
    }

    int id(int index) {
        return (int) entries[index];
    }

    /** What a candidate is sorted by; negative zero became zero. */
    float key(int index) {
        return Float.intBitsToFloat(falling((int) (entries[index] >>> KEY_SHIFT)));
    }

    void clear() {
        size = 0;
        rising = true;
    }

    /**
     * Adds a candidate.
     *
     * @param key not NaN
     */
    void add(float key, int id) {
        rising &= size == 0 || id > (int) entries[size - 1];
        entries[size++] = entry(key, id);
    }

    /** Makes this hold the ids below n whose key is at least so great. */
    void takeAtLeast(float least, float[] keys, int n) {
        long[] to = entries;
        int count = 0;
        for (int id = 0; id < n; id++) {
            // Written in any case: whether a key is great enough cannot be foreseen, and a branch costs more.
            to[count] = entry(keys[id], id);
            count += keys[id] >= least ? 1 : 0;
        }
        size = count;
        rising = true;
    }

    /** Adding zero gives zero one sign. */
    private static long entry(float key, int id) {
        return (long) falling(Float.floatToRawIntBits(key + 0f)) << KEY_SHIFT | id;
    }

    /**
     * Bits of a float to an integer that, unsigned, is the greater the less the float is, and back: those of a positive number are
     * inverted, those of a negative one are so already.
     */
    private static int falling(int bits) {
        return bits ^ (~(bits >> 31) & Integer.MAX_VALUE);
    }

    void sort() {
        if (!rising) {
            for (int shift = 0; shift < KEY_SHIFT; shift += DIGIT_BITS) {
                sortBy(shift);
            }
        }
        for (int shift = KEY_SHIFT; shift < Long.SIZE; shift += DIGIT_BITS) {
            sortBy(shift);
        }
    }

    /** Sorts by one digit and leaves those of equal digits in order. */
    private void sortBy(int shift) {
        long[] from = entries;
        long[] to = sorted;
        int[] next = places;
        int n = size;
        Arrays.fill(next, 0);
        for (int i = 0; i < n; i++) {
            next[(int) (from[i] >>> shift) & DIGITS - 1]++;
        }
        if (n == 0 || next[(int) (from[0] >>> shift) & DIGITS - 1] == n) {
            return;
        }
        int place = 0;
        for (int digit = 0; digit < DIGITS; digit++) {
            int count = next[digit];
            next[digit] = place;
            place += count;
        }
        for (int i = 0; i < n; i++) {
            long entry = from[i];
            to[next[(int) (entry >>> shift) & DIGITS - 1]++] = entry;
        }
        entries = to;
        sorted = from;
    }
}
