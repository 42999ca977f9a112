package io.qwen4j.tool;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Reads lines as bytes, so that a wrong one can be named by its number; lines may have any length that fits in memory. */
final class LineReader {
    private final InputStream in;
    private final byte[] buffer = new byte[1 << 16];
    private int position;
    private int end;
    private long number;

    LineReader(InputStream in) {
        this.in = in;
    }

    /** The number of the line that was read last, from 1. */
    long number() {
        return number;
    }

    /** Whether the next line has not come yet, as far as can be told without waiting for it. */
    boolean wouldWait() throws IOException {
        return position == end && in.available() == 0;
    }

    /** The next line without its end ({@code \n} or {@code \r\n}), or null if there is none. */
    byte @Nullable [] next() throws IOException {
        byte[] line = new byte[256];
        int length = 0;
        boolean any = false;
        while (fill()) {
            any = true;
            int newline = position;
            while (newline < end && buffer[newline] != '\n') {
                newline++;
            }
            int count = newline - position;
            if (length + count > line.length) {
                line = Arrays.copyOf(line, Math.max(Math.addExact(length, count), (int) Math.min(2L * line.length, Integer.MAX_VALUE - 8)));
            }
            System.arraycopy(buffer, position, line, length, count);
            length += count;
            position = newline + 1;
            if (newline < end) {
                break;
            }
        }
        if (!any) {
            return null;
        }
        number++;
        if (length > 0 && line[length - 1] == '\r') {
            length--;
        }
        return Arrays.copyOf(line, length);
    }

    /** The next line as text, or null if there is none. */
    @Nullable String nextText() throws IOException {
        byte[] line = next();
        if (line == null) {
            return null;
        }
        try {
            return text(line);
        } catch (CharacterCodingException e) {
            throw new ToolException("standard input, line " + number + ": not UTF-8", e);
        }
    }

    /** Decodes UTF-8 strictly. */
    static String text(byte[] bytes) throws CharacterCodingException {
        return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    }

    private boolean fill() throws IOException {
        if (position < end) {
            return true;
        }
        position = 0;
        end = Math.max(0, in.read(buffer));
        return end > 0;
    }
}
