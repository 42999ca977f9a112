package io.qwen4j.core.tokenizer;

/**
 * Cuts text into words as the regular expression of Qwen2 does, without a regular expression: linear in the text, no stack, no
 * backtracking.
 *
 * <pre>
 * (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * </pre>
 */
final class PreTokenizer {
    /** The expression, as files spell it. */
    static final String PATTERN = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
            + "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    /** Case folding makes the long s an s. */
    private static final char LONG_S = '\u017f';

    private PreTokenizer() {}

    /** Where the word ends that starts at {@code i}; the text has no lone surrogates and is looked at up to {@code end} only. */
    static int wordEnd(char[] text, int i, int end) {
        char c = text[i];
        if (c == '\'') {
            int length = contraction(text, i, end);
            if (length > 0) {
                return i + length;
            }
        }
        int codePoint = Character.codePointAt(text, i, end);
        int next = i + Character.charCount(codePoint);
        switch (CodePoints.classOf(codePoint)) {
            case CodePoints.LETTER:
                return letters(text, next, end);
            case CodePoints.NUMBER:
                return next;
            case CodePoints.OTHER:
                return classAt(text, next, end) == CodePoints.LETTER ? letters(text, next, end) : others(text, next, end);
            default:
                return space(text, c, i, end);
        }
    }

    /** Length of a contraction that starts with the apostrophe at {@code i}, or 0. */
    private static int contraction(char[] text, int i, int end) {
        if (i + 1 >= end) {
            return 0;
        }
        int c = text[i + 1] | 0x20;
        if (c == 's' || c == 't' || c == 'm' || c == 'd') {
            return isAsciiLetter(text[i + 1]) ? 2 : 0;
        }
        if (text[i + 1] == LONG_S) {
            return 2;
        }
        if (i + 2 >= end || !isAsciiLetter(text[i + 1]) || !isAsciiLetter(text[i + 2])) {
            return 0;
        }
        int d = text[i + 2] | 0x20;
        return (c == 'r' && d == 'e') || (c == 'v' && d == 'e') || (c == 'l' && d == 'l') ? 3 : 0;
    }

    private static boolean isAsciiLetter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }

    /** A word that starts with the white space {@code c}; all white space is in the basic plane. */
    private static int space(char[] text, char c, int i, int end) {
        int next = i + 1;
        int following = classAt(text, next, end);
        if (following == CodePoints.LETTER && !isNewline(c)) {
            return letters(text, next, end);
        }
        if (following == CodePoints.OTHER && c == ' ') {
            return others(text, next, end);
        }
        int lastNewline = isNewline(c) ? i : -1;
        int runEnd = next;
        while (runEnd < end && CodePoints.classOf(text[runEnd]) == CodePoints.SPACE) {
            if (isNewline(text[runEnd])) {
                lastNewline = runEnd;
            }
            runEnd++;
        }
        if (lastNewline >= 0) {
            return lastNewline + 1;
        }
        // The last space goes to the word behind it, unless it is the only one.
        return runEnd == end || runEnd == next ? runEnd : runEnd - 1;
    }

    private static int letters(char[] text, int i, int end) {
        int at = i;
        while (at < end) {
            char c = text[at];
            if (c < 0x80) {
                int lower = c | 0x20;
                if (lower < 'a' || lower > 'z') {
                    return at;
                }
                at++;
            } else {
                int codePoint = Character.codePointAt(text, at, end);
                if (CodePoints.classOf(codePoint) != CodePoints.LETTER) {
                    return at;
                }
                at += Character.charCount(codePoint);
            }
        }
        return at;
    }

    private static int others(char[] text, int i, int end) {
        int at = i;
        while (classAt(text, at, end) == CodePoints.OTHER) {
            at += Character.isHighSurrogate(text[at]) ? 2 : 1;
        }
        while (at < end && isNewline(text[at])) {
            at++;
        }
        return at;
    }

    /** The class of the code point at {@code i}, or -1 at the end. */
    private static int classAt(char[] text, int i, int end) {
        return i < end ? CodePoints.classOf(Character.codePointAt(text, i, end)) : -1;
    }

    private static boolean isNewline(char c) {
        return c == '\n' || c == '\r';
    }
}
