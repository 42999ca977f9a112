package io.qwen4j.core.tokenizer;

import java.util.Arrays;

/**
 * Merges a long word in linear time: pairs wait in a queue for each rank, and a heap has the ranks whose queue is not empty.
 *
 * <p>A heap of all pairs would need n log n steps; here only distinct ranks are ordered, of which hostile text (a million times one letter)
 * has few. A pair that vanishes because a neighbour merged leaves its queue at once.
 */
final class LongMerge {
    private static final int NIL = -1;

    private final Merges merges;

    /** For each rank its queue: first and last position, and whether positions came out of order. */
    private final int[] head;
    private final int[] tail;
    private final boolean[] unordered;
    /** Whether a rank is in the heap; one whose queue ran empty stays there until it is the least. */
    private final boolean[] inHeap;

    /** Ranks with a queue, a binary heap. */
    private int[] heap = new int[64];
    private int heapSize;

    /** For each position: neighbours in the word, neighbours in the queue, and the rank of the pair that starts here. */
    private int[] left = new int[0];
    private int[] right = new int[0];
    private int[] before = new int[0];
    private int[] behind = new int[0];
    private int[] rank = new int[0];

    LongMerge(Merges merges) {
        this.merges = merges;
        head = new int[merges.size()];
        tail = new int[merges.size()];
        unordered = new boolean[merges.size()];
        inHeap = new boolean[merges.size()];
        Arrays.fill(head, NIL);
    }

    /** Longest word for which there is room without growing. */
    int capacity() {
        return rank.length;
    }

    /** Merges the first {@code n} symbols in place and returns how many are left. */
    int merge(int[] symbols, int n) {
        if (rank.length < n) {
            int capacity = Math.max(n, Math.min(2 * rank.length, n + (n >> 1)));
            left = new int[capacity];
            right = new int[capacity];
            before = new int[capacity];
            behind = new int[capacity];
            rank = new int[capacity];
        }
        for (int i = 0; i < n; i++) {
            left[i] = i - 1;
            right[i] = i + 1 < n ? i + 1 : NIL;
            rank[i] = Merges.NONE;
        }
        for (int i = 0; i + 1 < n; i++) {
            join(symbols, i);
        }
        while (heapSize > 0) {
            int r = heap[0];
            if (head[r] == NIL) {
                inHeap[r] = false;
                removeLeast();
                continue;
            }
            if (unordered[r]) {
                sort(r);
            }
            int i = head[r];
            leave(i);
            int k = right[i];
            leave(k);
            symbols[i] = merges.result(r);
            symbols[k] = NIL;
            right[i] = right[k];
            if (right[i] != NIL) {
                left[right[i]] = i;
                join(symbols, i);
            }
            if (left[i] != NIL) {
                leave(left[i]);
                join(symbols, left[i]);
            }
        }
        int kept = 0;
        for (int i = 0; i < n; i++) {
            if (symbols[i] != NIL) {
                symbols[kept++] = symbols[i];
            }
        }
        return kept;
    }

    /** Puts the pair that starts at a position into its queue. */
    private void join(int[] symbols, int i) {
        int r = merges.rank(symbols[i], symbols[right[i]]);
        if (r == Merges.NONE) {
            return;
        }
        rank[i] = r;
        behind[i] = NIL;
        if (head[r] == NIL) {
            before[i] = NIL;
            head[r] = i;
            if (!inHeap[r]) {
                inHeap[r] = true;
                insert(r);
            }
        } else {
            before[i] = tail[r];
            behind[tail[r]] = i;
            // Leftmost first matters only where pairs of one rank overlap.
            if (tail[r] > i && symbols[i] == symbols[right[i]]) {
                unordered[r] = true;
            }
        }
        tail[r] = i;
    }

    /** Takes the pair that starts at a position out of its queue, if it is in one. */
    private void leave(int i) {
        int r = rank[i];
        if (r == Merges.NONE) {
            return;
        }
        rank[i] = Merges.NONE;
        if (before[i] == NIL) {
            head[r] = behind[i];
        } else {
            behind[before[i]] = behind[i];
        }
        if (behind[i] == NIL) {
            tail[r] = before[i];
        } else {
            before[behind[i]] = before[i];
        }
    }

    private void sort(int r) {
        int count = 0;
        for (int i = head[r]; i != NIL; i = behind[i]) {
            count++;
        }
        int[] positions = new int[count];
        int at = 0;
        for (int i = head[r]; i != NIL; i = behind[i]) {
            positions[at++] = i;
        }
        Arrays.sort(positions);
        for (int k = 0; k < count; k++) {
            before[positions[k]] = k == 0 ? NIL : positions[k - 1];
            behind[positions[k]] = k + 1 == count ? NIL : positions[k + 1];
        }
        head[r] = positions[0];
        tail[r] = positions[count - 1];
        unordered[r] = false;
    }

    private void insert(int r) {
        if (heapSize == heap.length) {
            heap = Arrays.copyOf(heap, 2 * heap.length);
        }
        int i = heapSize++;
        while (i > 0 && heap[(i - 1) >> 1] > r) {
            heap[i] = heap[(i - 1) >> 1];
            i = (i - 1) >> 1;
        }
        heap[i] = r;
    }

    private void removeLeast() {
        int r = heap[--heapSize];
        int i = 0;
        while (2 * i + 1 < heapSize) {
            int child = 2 * i + 1;
            if (child + 1 < heapSize && heap[child + 1] < heap[child]) {
                child++;
            }
            if (heap[child] >= r) {
                break;
            }
            heap[i] = heap[child];
            i = child;
        }
        if (heapSize > 0) {
            heap[i] = r;
        }
    }
}
