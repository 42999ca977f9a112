package io.qwen4j.core.format.safetensors;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Takes codes out of the 32-bit words of GPTQ and AWQ, for {@link #ROWS} rows of the matrix at a time, into a byte each. */
final class PackedWords {
    /** Rows that are unpacked at once: their words in a line of GPTQ's file are a line of the processor's cache. */
    static final int ROWS = 16;

    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    /** Column of eight that nibble i of a word of AWQ holds. */
    private static final int[] AWQ_COLUMN = {0, 2, 4, 6, 1, 3, 5, 7};

    private PackedWords() {}

    /**
     * GPTQ: a word has codes of neighbouring columns of one row.
     *
     * @param words lines of words, a word for each row
     * @param lineBytes from a line to the next
     * @param at the word of the first row in the first line
     * @param columns of the matrix
     * @param codes receives a row each {@code rowBytes} bytes
     */
    static void gptq(byte[] words, int lineBytes, int at, int bits, int rows, int columns, byte[] codes, int rowBytes) {
        int perWord = 32 / bits;
        for (int c = 0; c < columns; c += perWord, at += lineBytes) {
            for (int r = 0; r < rows; r++) {
                int word = (int) INTS.get(words, at + 4 * r);
                if (bits == 8) {
                    INTS.set(codes, r * rowBytes + c, word);
                } else {
                    LONGS.set(codes, r * rowBytes + c, nibbles(word));
                }
            }
        }
    }

    /**
     * AWQ: a word has codes of eight rows, of one column.
     *
     * @param words lines of words, a line for each column
     * @param lineBytes from a line to the next
     * @param at the word of the first eight rows in the first line
     * @param rows a multiple of 8
     * @param columns of the matrix, a multiple of 8
     * @param codes receives a row each {@code rowBytes} bytes
     */
    static void awq(byte[] words, int lineBytes, int at, int rows, int columns, byte[] codes, int rowBytes) {
        long[] square = new long[8];
        for (int r = 0; r < rows; r += 8) {
            for (int c = 0; c < columns; c += 8) {
                for (int i = 0; i < 8; i++) {
                    square[i] = nibbles((int) INTS.get(words, at + r / 2 + (c + i) * lineBytes));
                }
                transpose(square);
                for (int i = 0; i < 8; i++) {
                    LONGS.set(codes, (r + AWQ_COLUMN[i]) * rowBytes + c, square[i]);
                }
            }
        }
    }

    /** The codes of a line of words that run along the rows, as zero points do in both formats. */
    static void line(byte[] words, int at, int bits, boolean awq, int count, byte[] codes, int to) {
        int perWord = 32 / bits;
        for (int i = 0; i < count; i++) {
            int place = awq ? i / 8 * 8 + AWQ_COLUMN[i % 8] : i;
            int word = (int) INTS.get(words, at + 4 * (i / perWord));
            codes[to + place] = (byte) (word >>> bits * (i % perWord) & (1 << bits) - 1);
        }
    }

    /** The nibbles of 32 codes in the order of a block: code e in the low nibble of byte e, code e + 16 in the high one. */
    static void pair(byte[] codes, int at, byte[] out, int to) {
        LONGS.set(out, to, (long) LONGS.get(codes, at) | (long) LONGS.get(codes, at + 16) << 4);
        LONGS.set(out, to + 8, (long) LONGS.get(codes, at + 8) | (long) LONGS.get(codes, at + 24) << 4);
    }

    /** Nibble i in byte i. */
    private static long nibbles(int word) {
        long x = word & 0xffffffffL;
        x = (x | x << 16) & 0x0000ffff0000ffffL;
        x = (x | x << 8) & 0x00ff00ff00ff00ffL;
        return (x | x << 4) & 0x0f0f0f0f0f0f0f0fL;
    }

    /** Byte j of number i becomes byte i of number j. */
    private static void transpose(long[] a) {
        swap(a, 0, 4, 32, 0x00000000ffffffffL);
        swap(a, 1, 5, 32, 0x00000000ffffffffL);
        swap(a, 2, 6, 32, 0x00000000ffffffffL);
        swap(a, 3, 7, 32, 0x00000000ffffffffL);
        swap(a, 0, 2, 16, 0x0000ffff0000ffffL);
        swap(a, 1, 3, 16, 0x0000ffff0000ffffL);
        swap(a, 4, 6, 16, 0x0000ffff0000ffffL);
        swap(a, 5, 7, 16, 0x0000ffff0000ffffL);
        swap(a, 0, 1, 8, 0x00ff00ff00ff00ffL);
        swap(a, 2, 3, 8, 0x00ff00ff00ff00ffL);
        swap(a, 4, 5, 8, 0x00ff00ff00ff00ffL);
        swap(a, 6, 7, 8, 0x00ff00ff00ff00ffL);
    }

    /** Exchanges the high parts of one number with the low parts of another. */
    private static void swap(long[] a, int i, int j, int shift, long low) {
        long difference = (a[i] >>> shift ^ a[j]) & low;
        a[i] ^= difference << shift;
        a[j] ^= difference;
    }
}
