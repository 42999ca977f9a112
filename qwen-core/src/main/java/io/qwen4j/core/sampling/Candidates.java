package io.qwen4j.core.sampling;

import java.util.Arrays;

/** The ids that a token is chosen from, in an order. */
final class Candidates {
    private final int[] ids;
    private int size;

    Candidates(int capacity) {
        this.ids = new int[capacity];
    }

    int size() {
        return size;
    }

    int id(int index) {
        return ids[index];
    }

    void clear() {
        size = 0;
    }

    void add(int id) {
        ids[size++] = id;
    }

    /** Overwrites the id at one place with that at another. */
    void move(int from, int to) {
        ids[to] = ids[from];
    }

    void truncate(int newSize) {
        size = newSize;
    }

    /** Whether a comes before b: the greater key first, of equal keys the lower id. */
    private static boolean before(float[] keys, int a, int b) {
        return keys[a] > keys[b] || keys[a] == keys[b] && a < b;
    }

    /** Makes this hold the k first ids below n, first ones first; keys of negative infinity are left out. O(n log k), O(n) in practice. */
    void takeFirst(int k, float[] keys, int n) {
        size = 0;
        if (k == 0) {
            return;
        }
        // Ids come in rising order: once k are there, only a greater key gets in, and that of most is not.
        float least = Float.NEGATIVE_INFINITY;
        for (int id = 0; id < n; id++) {
            if (!(keys[id] > least)) {
                continue;
            }
            if (size < k) {
                ids[size] = id;
                siftUpLast(keys, size++);
            } else {
                ids[0] = id;
                siftDownLast(keys, 0, size);
            }
            if (size == k) {
                least = keys[ids[0]];
            }
        }
        // The root is the last in order; moving it behind the shrinking heap leaves the first ones in front.
        for (int end = size - 1; end > 0; end--) {
            swap(0, end);
            siftDownLast(keys, 0, end);
        }
    }

    /** Puts an id among the k first ones, which stand in order, if it is one of them. */
    void insert(int id, int k, float[] keys) {
        if (size == k && !before(keys, id, ids[size - 1])) {
            return;
        }
        int at = size < k ? size++ : size - 1;
        for (; at > 0 && before(keys, id, ids[at - 1]); at--) {
            ids[at] = ids[at - 1];
        }
        ids[at] = id;
    }

    /** Puts them in the order of their ids. */
    void sortById() {
        Arrays.sort(ids, 0, size);
    }

    private void siftUpLast(float[] keys, int from) {
        int at = from;
        while (at > 0 && before(keys, ids[(at - 1) / 2], ids[at])) {
            swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    private void siftDownLast(float[] keys, int from, int end) {
        int at = from;
        while (true) {
            int child = 2 * at + 1;
            if (child >= end) {
                return;
            }
            if (child + 1 < end && before(keys, ids[child], ids[child + 1])) {
                child++;
            }
            if (!before(keys, ids[at], ids[child])) {
                return;
            }
            swap(at, child);
            at = child;
        }
    }

    private void swap(int a, int b) {
        int id = ids[a];
        ids[a] = ids[b];
        ids[b] = id;
    }
}
