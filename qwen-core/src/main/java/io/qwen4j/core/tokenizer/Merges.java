package io.qwen4j.core.tokenizer;

import java.util.Arrays;
import java.util.concurrent.ThreadLocalRandom;

/**
 * The merges: for a pair of neighbouring tokens its rank, and for a rank the token it makes.
 *
 * <p>An open hash table with linear probing; an entry is one long (left id, right id, rank), so that a look-up touches one cache line. It
 * is at most half full: 4 MiB for the 151,387 merges of Qwen2.5.
 */
final class Merges {
    /** What {@link #rank} says of a pair that does not merge; more than any rank. */
    static final int NONE = Integer.MAX_VALUE;

    /** Bits of an id in an entry. */
    static final int ID_BITS = 21;
    /** Bits of a rank in an entry. */
    static final int RANK_BITS = 22;

    private static final int MAX_RANK = (1 << RANK_BITS) - 2; // the next one, with two largest ids, would look like an empty entry
    private static final long EMPTY = -1;

    private final long[] table;
    private final int shift;
    private final long multiplier;
    private int[] made;
    private int size;

    /**
     * An empty table.
     *
     * @param expected number of merges to come, at most {@link #maximum()}
     */
    Merges(int expected) {
        int bits = 64 - Long.numberOfLeadingZeros(2L * Math.max(expected, 8) - 1);
        table = new long[1 << bits];
        Arrays.fill(table, EMPTY);
        shift = 64 - bits;
        // Drawn at random, so that no file can be made whose pairs all fall into one place.
        multiplier = ThreadLocalRandom.current().nextLong() | 1;
        made = new int[expected];
    }

    /** Most merges that fit. */
    static int maximum() {
        return MAX_RANK;
    }

    /** Adds the next merge and returns true, or returns false if the pair is there already. */
    boolean add(int left, int right, int result) {
        long key = key(left, right);
        int slot = (int) ((key * multiplier) >>> shift);
        while (table[slot] != EMPTY) {
            if (table[slot] >>> RANK_BITS == key) {
                return false;
            }
            slot = (slot + 1) & (table.length - 1);
        }
        table[slot] = key << RANK_BITS | size;
        made[size++] = result;
        return true;
    }

    /** The rank of a pair, or {@link #NONE}. */
    int rank(int left, int right) {
        long key = key(left, right);
        long[] entries = table;
        int slot = (int) ((key * multiplier) >>> shift);
        while (true) {
            long entry = entries[slot];
            if (entry >>> RANK_BITS == key) {
                return (int) entry & ((1 << RANK_BITS) - 1);
            }
            if (entry == EMPTY) {
                return NONE;
            }
            slot = (slot + 1) & (entries.length - 1);
        }
    }

    /** The token that a merge makes. */
    int result(int rank) {
        return made[rank];
    }

    /** Number of merges. */
    int size() {
        return size;
    }

    private static long key(int left, int right) {
        return (long) left << ID_BITS | right;
    }
}
