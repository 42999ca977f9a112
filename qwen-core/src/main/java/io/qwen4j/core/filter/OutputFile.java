package io.qwen4j.core.filter;

import io.qwen4j.filter.FilterException;
import io.qwen4j.filter.FilterException.Reason;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A file of lines that can be cut to a length and written on. Locked while it is open, so that no two runs write it; the lock goes with the
 * process. Written through {@link RandomAccessFile}, whose channel no interrupt closes. Not thread-safe.
 */
final class OutputFile implements AutoCloseable {
    private final Path path;
    private final RandomAccessFile file;
    private final byte[] buffer = new byte[1 << 16];
    private int buffered;
    /** Bytes of the file, those in the buffer included. */
    private long length;

    private OutputFile(Path path, RandomAccessFile file) {
        this.path = path;
        this.file = file;
    }

    /** Opens a file, and makes it if there is none. Nothing in it is changed. */
    static OutputFile open(Path path) {
        try {
            if (Files.exists(path) && !Files.isRegularFile(path)) {
                throw new FilterException(Reason.FILE, path, "expected a regular file to write, found "
                        + (Files.isDirectory(path) ? "a directory" : "a special file"), null);
            }
            RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw");
            try {
                if (file.getChannel().tryLock() == null) {
                    throw new OverlappingFileLockException();
                }
                OutputFile output = new OutputFile(path, file);
                output.length = file.length();
                return output;
            } catch (OverlappingFileLockException e) {
                file.close();
                throw new FilterException(Reason.LOCKED, path, "another run writes this file", e);
            } catch (Throwable t) {
                file.close();
                throw t;
            }
        } catch (IOException e) {
            throw new FilterException(Reason.IO, path, "cannot be opened for writing: " + e.getMessage(), e);
        }
    }

    long length() {
        return length;
    }

    /** Leaves the first bytes. */
    void cut(long bytes) {
        try {
            buffered = 0;
            file.setLength(bytes);
            file.seek(bytes);
            length = bytes;
        } catch (IOException e) {
            throw failed(e);
        }
    }

    void write(byte[] bytes, int from, int to) {
        try {
            for (int at = from; at < to; ) {
                if (buffered == buffer.length) {
                    flush();
                }
                int count = Math.min(to - at, buffer.length - buffered);
                System.arraycopy(bytes, at, buffer, buffered, count);
                buffered += count;
                at += count;
            }
            length += to - from;
        } catch (IOException e) {
            throw failed(e);
        }
    }

    void write(byte[] bytes) {
        write(bytes, 0, bytes.length);
    }

    /** Copies bytes of another file. */
    void copy(RandomAccessFile source, long from, long to) throws IOException {
        byte[] piece = new byte[1 << 16];
        source.seek(from);
        for (long at = from; at < to; ) {
            int n = source.read(piece, 0, (int) Math.min(piece.length, to - at));
            if (n < 0) {
                throw new IOException("the file ended at byte " + at + " while it was read");
            }
            write(piece, 0, n);
            at += n;
        }
    }

    /** Brings everything to the disk. */
    void force() {
        try {
            flush();
            file.getFD().sync();
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private void flush() throws IOException {
        file.write(buffer, 0, buffered);
        buffered = 0;
    }

    private FilterException failed(IOException e) {
        return new FilterException(Reason.IO, path, "writing failed: " + e.getMessage(), e);
    }

    /** Drops what was not forced. */
    @Override
    public void close() {
        try {
            file.close();
        } catch (IOException e) {
            throw failed(e);
        }
    }
}
