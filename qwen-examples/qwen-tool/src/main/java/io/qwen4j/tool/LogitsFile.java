package io.qwen4j.tool;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Locale;

/** A safetensors file with one F32 tensor {@code logits [T, V]}, written row by row; it has its name only when it is complete. */
final class LogitsFile implements AutoCloseable {
    private final Path file;
    private final Path temporary;
    private final FileChannel channel;
    private final ByteBuffer row;
    private final int rows;
    private int written;

    LogitsFile(Path file, int rows, int columns) throws IOException {
        this.file = file;
        this.rows = rows;
        long bytes = Math.multiplyExact((long) rows, Math.multiplyExact(columns, 4));
        StringBuilder header = new StringBuilder(String.format(
                Locale.ROOT, "{\"logits\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%d]}}", rows, columns, bytes));
        while (header.length() % 8 != 0) {
            header.append(' ');
        }
        temporary = file.resolveSibling(file.getFileName() + "." + ProcessHandle.current().pid() + ".part");
        channel = FileChannel.open(
                temporary, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
        row = ByteBuffer.allocate(4 * columns).order(ByteOrder.LITTLE_ENDIAN);
        byte[] text = header.toString().getBytes(StandardCharsets.US_ASCII);
        write(ByteBuffer.allocate(8 + text.length).order(ByteOrder.LITTLE_ENDIAN).putLong(text.length).put(text).flip());
    }

    /** Takes rows in order. */
    void write(int position, FloatBuffer logits) {
        if (position != written) {
            throw new IllegalStateException("expected the logits of token " + written + ", found those of " + position);
        }
        row.clear();
        row.asFloatBuffer().put(logits.duplicate());
        try {
            write(row);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        written++;
    }

    private void write(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    /** Gives the file its name. */
    void complete() throws IOException {
        if (written != rows) {
            throw new IllegalStateException("expected " + rows + " rows of logits, found " + written);
        }
        channel.close();
        Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING);
    }

    @Override
    public void close() throws IOException {
        channel.close();
        Files.deleteIfExists(temporary);
    }
}
