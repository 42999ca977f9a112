package io.qwen4j.core.format.gguf;

import java.nio.charset.StandardCharsets;

/**
 * Goes through an array of strings in the bytes of the file. No object for each string: the arrays of a vocabulary have 300,000 of them, and
 * a model's first answer waits for whoever reads them. Used by one thread.
 */
public final class GgufStrings {
    private final byte[] bytes;
    private final int start;
    private final int count;
    private int next;
    private int from;
    private int to;

    /** Strings, each a length of 8 bytes and so many bytes, which were checked to be there. */
    GgufStrings(byte[] bytes, int start, int count) {
        this.bytes = bytes;
        this.start = start;
        this.count = count;
        to = start;
    }

    /** Number of strings. */
    public int count() {
        return count;
    }

    /** Goes to the next string, the first one at first; false if there is none. */
    public boolean next() {
        if (next == count) {
            return false;
        }
        next++;
        int at = to;
        // The other four bytes are 0: the string is inside an array.
        int length = bytes[at] & 0xff | (bytes[at + 1] & 0xff) << 8 | (bytes[at + 2] & 0xff) << 16 | bytes[at + 3] << 24;
        from = at + 8;
        to = from + length;
        return true;
    }

    /** Where the string at which this is lies: from {@link #from()} to {@link #to()}. Not to be written to. */
    public byte[] bytes() {
        return bytes;
    }

    /** First byte of the string. */
    public int from() {
        return from;
    }

    /** Behind the last byte of the string. */
    public int to() {
        return to;
    }

    /** The string; bytes that are not UTF-8 become U+FFFD. */
    public String text() {
        return new String(bytes, from, to - from, StandardCharsets.UTF_8);
    }

    /** String i, wherever this is, and goes there; in ascending order every string is passed once. */
    public String get(int i) {
        if (i < 0 || i >= count) {
            throw new IndexOutOfBoundsException("string " + i + " of " + count);
        }
        if (i < next) {
            next = 0;
            to = start;
        }
        // As next() does, but without a call for each string, as it may run before anything is compiled.
        byte[] all = bytes;
        int end = to;
        for (int skipped = i - next; skipped > 0; skipped--) {
            end += 8 + (all[end] & 0xff | (all[end + 1] & 0xff) << 8 | (all[end + 2] & 0xff) << 16 | all[end + 3] << 24);
        }
        to = end;
        next = i;
        next();
        return text();
    }
}
