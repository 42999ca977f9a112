package io.qwen4j.core.filter;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Lines of a file with their places in it. One that is too long is found to its end, but never held. Not thread-safe. */
final class InputLines {
    private final RandomAccessFile file;
    private final int most;
    private final byte[] buffer = new byte[1 << 16];
    private int position;
    private int limit;
    /** Place in the file of the buffer's end. */
    private long read;

    private long number;

    /**
     * A line.
     *
     * @param number from 1
     * @param start place of its first byte
     * @param end place behind its last one, its end included
     * @param ended whether it ends with a line feed; else with the file
     * @param bytes its bytes without the line feed, or null if they are too many
     */
    record Line(long number, long start, long end, boolean ended, byte @Nullable [] bytes) {
        /** Bytes without the line feed. */
        long length() {
            return end - start - (ended ? 1 : 0);
        }
    }

    /**
     * Reads from a place on.
     *
     * @param start where a line begins
     * @param number of the line before it
     * @param most bytes of a line that is held
     */
    InputLines(RandomAccessFile file, long start, long number, int most) {
        this.file = file;
        this.most = most;
        this.number = number;
        read = start;
    }

    /** The next line, or null if there is none. */
    @Nullable Line next() throws IOException {
        long start = read - (limit - position);
        byte @Nullable [] line = new byte[Math.min(most, 1024)];
        int length = 0;
        boolean ended = false;
        boolean any = false;
        while (!ended && fill()) {
            any = true;
            int end = position;
            while (end < limit && buffer[end] != '\n') {
                end++;
            }
            int count = end - position;
            if (line != null && count > most - length) {
                line = null;
            }
            if (line != null) {
                if (length + count > line.length) {
                    line = Arrays.copyOf(line, (int) Math.min(most, Math.max(2L * line.length, length + count)));
                }
                System.arraycopy(buffer, position, line, length, count);
                length += count;
            }
            ended = end < limit;
            position = ended ? end + 1 : end;
        }
        if (!any) {
            return null;
        }
        byte[] bytes = line == null ? null : Arrays.copyOf(line, length);
        return new Line(++number, start, read - (limit - position), ended, bytes);
    }

    private boolean fill() throws IOException {
        if (position < limit) {
            return true;
        }
        // Others read the same file between two lines.
        file.seek(read);
        position = 0;
        limit = Math.max(0, file.read(buffer));
        read += limit;
        return limit > 0;
    }
}
