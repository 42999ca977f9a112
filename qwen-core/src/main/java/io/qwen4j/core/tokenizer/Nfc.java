package io.qwen4j.core.tokenizer;

import java.util.Arrays;

/**
 * Normalisation form C in linear time: marks of a long run are sorted by counting, where {@link java.text.Normalizer} inserts one by one
 * and needs a quadratic time.
 */
final class Nfc {
    /** Runs of marks up to this length are sorted by insertion. */
    private static final int SHORT_RUN = 16;

    private char[] out;
    private int outLength;

    /** Code points of a stretch of text that is composed together. */
    private int[] stretch = new int[32];

    private Nfc(int capacity) {
        out = new char[capacity];
    }

    /** A normalised text: the first characters of an array. */
    record Result(char[] text, int length) {}

    /** Where the first character stands that NFC may change, or {@code end}. The text has no lone surrogates. */
    static int quickCheck(char[] text, int from, int end) {
        int lastClass = 0;
        for (int i = from; i < end; ) {
            int c = text[i];
            if (c < 0x300) {
                lastClass = 0;
                i++;
                continue;
            }
            int width = 1;
            if (Character.isHighSurrogate((char) c)) {
                c = Character.toCodePoint((char) c, text[i + 1]);
                width = 2;
            }
            if (!CodePoints.needsNfc(c)) {
                lastClass = 0;
            } else {
                int combiningClass = Canonical.TABLES.combiningClass(c);
                if (!CodePoints.isPlainMark(c) || combiningClass < lastClass) {
                    return i;
                }
                lastClass = combiningClass;
            }
            i += width;
        }
        return end;
    }

    /** Normalises a text that has no lone surrogates. */
    static Result normalize(char[] text, int from, int end) {
        var nfc = new Nfc(end - from + 16);
        nfc.run(text, from, end);
        return new Result(nfc.out, nfc.outLength);
    }

    private void run(char[] text, int from, int end) {
        int done = from;
        while (done < end) {
            int first = quickCheck(text, done, end);
            if (first == end) {
                copy(text, done, end);
                return;
            }
            int start = first;
            do {
                // Back to a code point before which the text may be cut; what is before it stays as it is.
                if (start == done) {
                    break;
                }
                start -= Character.isLowSurrogate(text[start - 1]) ? 2 : 1;
            } while (CodePoints.needsNfc(Character.codePointAt(text, start, end)));
            copy(text, done, start);
            int length = 0;
            int at = start;
            int c = Character.codePointAt(text, at, end);
            do {
                if (stretch.length < length + 8) {
                    stretch = Arrays.copyOf(stretch, 2 * stretch.length);
                }
                length = Canonical.TABLES.decompose(c, stretch, length);
                at += Character.charCount(c);
                if (at == end) {
                    break;
                }
                c = Character.codePointAt(text, at, end);
            } while (CodePoints.needsNfc(c));
            order(length);
            compose(length);
            done = at;
        }
    }

    /** Sorts each run of marks by combining class; marks of one class stay in their order. */
    private void order(int length) {
        Canonical tables = Canonical.TABLES;
        for (int i = 0; i < length; i++) {
            if (tables.combiningClass(stretch[i]) == 0) {
                continue;
            }
            int start = i;
            while (i < length && tables.combiningClass(stretch[i]) != 0) {
                i++;
            }
            if (i - start > SHORT_RUN) {
                countingSort(start, i);
            } else {
                insertionSort(start, i);
            }
        }
    }

    private void insertionSort(int start, int end) {
        Canonical tables = Canonical.TABLES;
        for (int i = start + 1; i < end; i++) {
            int c = stretch[i];
            int k = i;
            for (; k > start && tables.combiningClass(stretch[k - 1]) > tables.combiningClass(c); k--) {
                stretch[k] = stretch[k - 1];
            }
            stretch[k] = c;
        }
    }

    private void countingSort(int start, int end) {
        Canonical tables = Canonical.TABLES;
        int[] place = new int[257];
        for (int i = start; i < end; i++) {
            place[tables.combiningClass(stretch[i]) + 1]++;
        }
        for (int k = 1; k < place.length; k++) {
            place[k] += place[k - 1];
        }
        int[] sorted = new int[end - start];
        for (int i = start; i < end; i++) {
            sorted[place[tables.combiningClass(stretch[i])]++] = stretch[i];
        }
        System.arraycopy(sorted, 0, stretch, start, sorted.length);
    }

    private void compose(int length) {
        Canonical tables = Canonical.TABLES;
        int starter = -1;
        int lastClass = -1; // -1: directly behind the starter
        int kept = 0;
        for (int i = 0; i < length; i++) {
            int c = stretch[i];
            int combiningClass = tables.combiningClass(c);
            if (starter >= 0 && lastClass < combiningClass) {
                int composed = tables.compose(stretch[starter], c);
                if (composed >= 0) {
                    stretch[starter] = composed;
                    continue;
                }
            }
            if (combiningClass == 0) {
                starter = kept;
                lastClass = -1;
            } else {
                lastClass = combiningClass;
            }
            stretch[kept++] = c;
        }
        reserve(2 * kept);
        for (int i = 0; i < kept; i++) {
            outLength += Character.toChars(stretch[i], out, outLength);
        }
    }

    private void copy(char[] text, int from, int end) {
        reserve(end - from);
        System.arraycopy(text, from, out, outLength, end - from);
        outLength += end - from;
    }

    private void reserve(int more) {
        if (out.length - outLength < more) {
            out = Arrays.copyOf(out, Math.max(outLength + more, out.length + (out.length >> 1)));
        }
    }
}
