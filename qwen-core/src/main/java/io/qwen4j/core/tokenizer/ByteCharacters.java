package io.qwen4j.core.tokenizer;

import java.util.Arrays;

/**
 * The spelling of bytes in vocabulary files, that of GPT-2: printable bytes stand for themselves, the other 68 in ascending order for
 * U+0100 and what follows (a space is U+0120).
 */
final class ByteCharacters {
    private static final int END = 0x144;
    private static final short[] BYTES = table();

    private ByteCharacters() {}

    private static short[] table() {
        short[] bytes = new short[END];
        Arrays.fill(bytes, (short) -1);
        int next = 0x100;
        for (int b = 0; b < 256; b++) {
            bytes[isPrintable(b) ? b : next++] = (short) b;
        }
        return bytes;
    }

    private static boolean isPrintable(int b) {
        return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    }

    /** The characters in the order in which vocabularies list them: those that stand for themselves, then the others. */
    static String all() {
        var text = new StringBuilder();
        for (char c = 0; c < END; c++) {
            if (byteOf(c) >= 0) {
                text.append(c);
            }
        }
        return text.toString();
    }

    /** The byte that a character stands for, or -1 if it stands for none. */
    static int byteOf(char c) {
        return c < END ? BYTES[c] : -1;
    }
}
