package io.qwen4j.core.tokenizer;

import java.util.Arrays;

/**
 * What the tokenizer asks of a code point: letter, number, white space or other, and whether NFC has to look at it.
 *
 * <p>The tables are our own, because those of the JDK change with its version (17 has Unicode 13, 25 has Unicode 16) and ids may not.
 * Letters and numbers are those of Unicode 16, as in the regular expressions of the tokenizers library 0.21; normalisation is that of
 * Unicode 9, as in the crate which that library normalises with. A code point newer than that is left alone.
 */
final class CodePoints {
    static final int OTHER = 0;
    static final int LETTER = 1;
    static final int NUMBER = 2;
    static final int SPACE = 3;

    private static final int CLASS = 3;
    private static final int JOINS = 4;
    private static final int MARK = 8;

    private static final int[][] SPACES = {
        {0x9, 0xd}, {0x20, 0x20}, {0x85, 0x85}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
        {0x205f, 0x205f}, {0x3000, 0x3000}
    };

    /** One byte for each code point: class and flags. */
    private static final byte[] TABLE = table();

    private CodePoints() {}

    /** OTHER, LETTER, NUMBER or SPACE. */
    static int classOf(int codePoint) {
        return TABLE[codePoint] & CLASS;
    }

    /** Whether NFC may change this code point, join it to one before it, or move it; where this is false, a text may be cut before it. */
    static boolean needsNfc(int codePoint) {
        return (TABLE[codePoint] & (JOINS | MARK)) != 0;
    }

    /** Whether the canonical combining class alone is why {@link #needsNfc} is true: in order it stays as it is. */
    static boolean isPlainMark(int codePoint) {
        return (TABLE[codePoint] & (JOINS | MARK)) == MARK;
    }

    private static byte[] table() {
        byte[] table = new byte[Character.MAX_CODE_POINT + 1];
        for (int[] range : SPACES) {
            Arrays.fill(table, range[0], range[1] + 1, (byte) SPACE);
        }
        var data = new UnicodeData("classes.txt");
        for (char kind = data.nextLine(); kind != 0; kind = data.nextLine()) {
            while (data.hasNumber()) {
                int first = data.number();
                Arrays.fill(table, first, data.number() + 1, (byte) (kind == 'L' ? LETTER : NUMBER));
            }
        }
        Canonical.TABLES.forEachMark(c -> table[c] |= MARK);
        Canonical.TABLES.forEachJoining(c -> table[c] |= JOINS);
        return table;
    }
}
