package io.qwen4j.core.tokenizer;

import java.util.Arrays;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Tokens while they are read: the bytes of each id, and the id of bytes. No object for each token: there are 151,643 of them, and a model's
 * first answer waits for this.
 */
final class TokenTable {
    private static final int ABSENT = -1;

    /** Drawn at random, so that no file can be made whose tokens all fall into one place. */
    private final int multiplier = ThreadLocalRandom.current().nextInt() | 1;

    private byte[] bytes = new byte[1 << 16];
    private int used;
    private int[] starts = new int[0];
    private int[] lengths = new int[0];
    private int end;
    private int[] index = new int[0];

    TokenTable() {
        grow(1 << 12);
    }

    private void grow(int capacity) {
        int old = starts.length;
        starts = Arrays.copyOf(starts, capacity);
        lengths = Arrays.copyOf(lengths, capacity);
        Arrays.fill(starts, old, capacity, ABSENT);
    }

    boolean has(int id) {
        return id < starts.length && starts[id] != ABSENT;
    }

    /** One more than the largest id. */
    int end() {
        return end;
    }

    /** Adds a token of an id that is not there yet. */
    void put(int id, byte[] token, int length) {
        if (id >= starts.length) {
            grow(Math.max(id + 1, 2 * starts.length));
        }
        if (bytes.length - used < length) {
            bytes = Arrays.copyOf(bytes, Math.max(Math.addExact(used, length), (int) Math.min(2L * bytes.length, Integer.MAX_VALUE - 8)));
        }
        System.arraycopy(token, 0, bytes, used, length);
        starts[id] = used;
        lengths[id] = length;
        used += length;
        end = Math.max(end, id + 1);
    }

    /** Makes {@link #find} work for the tokens so far; returns an id whose bytes another one has too, or -1. */
    int index() {
        int bits = 33 - Integer.numberOfLeadingZeros(Math.max(end, 8));
        index = new int[1 << bits];
        Arrays.fill(index, ABSENT);
        for (int id = 0; id < end; id++) {
            if (starts[id] != ABSENT) {
                int slot = slot(hash(bytes, starts[id], starts[id] + lengths[id]), bytes, starts[id], lengths[id]);
                if (index[slot] != ABSENT) {
                    return id;
                }
                index[slot] = id;
            }
        }
        return -1;
    }

    /** The id of bytes, or -1. */
    int find(byte[] token, int from, int to) {
        return find(hash(token, from, to), token, from, to);
    }

    /** The id of bytes with a known hash, or -1. */
    int find(int hash, byte[] token, int from, int to) {
        return index[slot(hash, token, from, to - from)];
    }

    /** Whether a token that is there has these bytes. A plain loop: most have a few bytes, and it runs before anything is compiled. */
    boolean is(int id, byte[] token, int from, int length) {
        if (lengths[id] != length) {
            return false;
        }
        byte[] all = bytes;
        int at = starts[id];
        for (int i = 0; i < length; i++) {
            if (all[at + i] != token[from + i]) {
                return false;
            }
        }
        return true;
    }

    private int slot(int hash, byte[] token, int from, int length) {
        int mask = index.length - 1;
        int slot = (hash ^ hash >>> 15) & mask;
        while (index[slot] != ABSENT) {
            int id = index[slot];
            if (is(id, token, from, length)) {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
        return slot;
    }

    int hash(byte[] token, int from, int to) {
        return hash(0, token, from, to);
    }

    /** The hash of bytes that go on after others whose hash is known. */
    int hash(int before, byte[] token, int from, int to) {
        int h = before;
        for (int i = from; i < to; i++) {
            h = (h + token[i] + 1) * multiplier;
        }
        return h;
    }

    /** The bytes of a token that is there. */
    byte[] bytes(int id) {
        return Arrays.copyOfRange(bytes, starts[id], starts[id] + lengths[id]);
    }

    /** The tokens in the order of their ids; none is missing. */
    Vocabulary vocabulary() {
        byte[] ordered = new byte[used];
        int[] places = new int[end + 1];
        for (int id = 0; id < end; id++) {
            System.arraycopy(bytes, starts[id], ordered, places[id], lengths[id]);
            places[id + 1] = places[id] + lengths[id];
        }
        return new Vocabulary(ordered, places);
    }
}
