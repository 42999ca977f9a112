package io.qwen4j.core.tokenizer;

/**
 * A token that is found in text by its spelling.
 *
 * @param leftStrip whether it takes the white space before it
 * @param rightStrip whether it takes the white space behind it
 * @param normalized whether it is looked for in normalised text
 * @param special whether it is hidden from decoded text on request
 */
record AddedToken(int id, String spelling, boolean leftStrip, boolean rightStrip, boolean normalized, boolean special) {
    /** Longest spelling. A search looks at most this far ahead. */
    static final int MAX_LENGTH = 1024;
}
