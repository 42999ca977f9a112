package io.qwen4j.core.tokenizer;

/** Characters and bytes. */
final class Text {
    private static final char REPLACEMENT = '\ufffd';

    private Text() {}

    /** The characters of a text, lone surrogates replaced by U+FFFD. */
    static char[] characters(CharSequence text) {
        char[] characters = text.toString().toCharArray();
        for (int i = 0; i < characters.length; i++) {
            if (Character.isSurrogate(characters[i])) {
                if (i + 1 < characters.length && Character.isSurrogatePair(characters[i], characters[i + 1])) {
                    i++;
                } else {
                    characters[i] = REPLACEMENT;
                }
            }
        }
        return characters;
    }

    /**
     * Decodes UTF-8; each longest part of a character that is not whole becomes one U+FFFD, as in Rust and in WHATWG's standard. Java's own
     * decoder makes one of an encoded surrogate, where these make three.
     */
    static String decode(byte[] bytes, int from, int end) {
        char[] out = new char[end - from];
        int n = 0;
        int i = from;
        while (i < end) {
            int b = bytes[i];
            if (b >= 0) {
                out[n++] = (char) b;
                i++;
                continue;
            }
            int length = sequenceLength(b);
            int whole = wholeBytes(bytes, i, end, length);
            if (length == 0 || whole < length) {
                out[n++] = REPLACEMENT;
                i += Math.max(whole, 1);
                continue;
            }
            if (length == 2) {
                out[n++] = (char) ((b & 0x1f) << 6 | bytes[i + 1] & 0x3f);
            } else if (length == 3) {
                out[n++] = (char) ((b & 0xf) << 12 | (bytes[i + 1] & 0x3f) << 6 | bytes[i + 2] & 0x3f);
            } else {
                int codePoint = (b & 7) << 18 | (bytes[i + 1] & 0x3f) << 12 | (bytes[i + 2] & 0x3f) << 6 | bytes[i + 3] & 0x3f;
                out[n++] = Character.highSurrogate(codePoint);
                out[n++] = Character.lowSurrogate(codePoint);
            }
            i += length;
        }
        return new String(out, 0, n);
    }

    /** Number of bytes at the end that may be the beginning of a character: 0 to 3. */
    static int incompleteSuffix(byte[] bytes, int end) {
        for (int k = 1; k <= 3 && k <= end; k++) {
            int b = bytes[end - k];
            if ((b & 0xc0) != 0x80) {
                int length = sequenceLength(b);
                return k < length && wholeBytes(bytes, end - k, end, length) == k ? k : 0;
            }
        }
        return 0;
    }

    /** Length of the character that a byte begins, or 0 if it begins none. */
    static int sequenceLength(int b) {
        int first = b & 0xff;
        if (first < 0x80) {
            return 1;
        }
        return first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    }

    /** How many bytes from {@code i} on belong to a character of the given length that begins there; the first one is taken as read. */
    static int wholeBytes(byte[] bytes, int i, int end, int length) {
        int k = 1;
        for (; k < length && i + k < end; k++) {
            int b = bytes[i + k] & 0xff;
            int least = 0x80;
            int most = 0xbf;
            if (k == 1) {
                // Neither overlong, nor a surrogate, nor beyond U+10FFFF.
                switch (bytes[i] & 0xff) {
                    case 0xe0 -> least = 0xa0;
                    case 0xed -> most = 0x9f;
                    case 0xf0 -> least = 0x90;
                    case 0xf4 -> most = 0x8f;
                    default -> { }
                }
            }
            if (b < least || b > most) {
                break;
            }
        }
        return k;
    }
}
