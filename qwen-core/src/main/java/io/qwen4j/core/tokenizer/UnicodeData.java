package io.qwen4j.core.tokenizer;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/** Reads a table of our resources: lines of a letter and hexadecimal numbers, separated by single spaces. */
final class UnicodeData {
    private final byte[] text;
    private int at;

    UnicodeData(String name) {
        try (@Nullable InputStream in = UnicodeData.class.getResourceAsStream(name)) {
            if (in == null) {
                throw new IllegalStateException("the resource " + name + " is missing beside " + UnicodeData.class.getName());
            }
            text = in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The letter of the next line, or 0 at the end. */
    char nextLine() {
        return at < text.length ? (char) text[at++] : 0;
    }

    /** Whether the line has another number. */
    boolean hasNumber() {
        if (text[at] == '\n') {
            at++;
            return false;
        }
        return true;
    }

    /** The next number of the line. */
    int number() {
        at++;
        int value = 0;
        for (; text[at] > ' '; at++) {
            value = 16 * value + Character.digit(text[at], 16);
        }
        return value;
    }
}
