package io.qwen4j.core.tokenizer;

import java.util.Arrays;

/** A growing list of ids. */
final class IntList {
    private int[] values;
    private int size;

    IntList(int capacity) {
        values = new int[Math.max(capacity, 8)];
    }

    void add(int value) {
        if (size == values.length) {
            grow(1);
        }
        values[size++] = value;
    }

    void addAll(int[] source, int from, int count) {
        if (values.length - size < count) {
            grow(count);
        }
        System.arraycopy(source, from, values, size, count);
        size += count;
    }

    private void grow(int more) {
        long wanted = Math.max((long) size + more, size + (long) (size >> 1) + 8);
        values = Arrays.copyOf(values, (int) Math.min(wanted, Integer.MAX_VALUE - 8));
    }

    int size() {
        return size;
    }

    int[] toArray() {
        return Arrays.copyOf(values, size);
    }

    int[] toArray(int from) {
        return Arrays.copyOfRange(values, from, size);
    }
}
