package io.qwen4j.core.format;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A regular file, held open and read at positions. Thread-safe.
 *
 * <p>Bytes are read and never mapped: a file that is cut while it is mapped ends the process, one that is cut while it is read ends in an
 * error. Size and time of modification are compared after each read, so that a file that is overwritten meanwhile is an error too.
 */
public final class ModelFile implements AutoCloseable {
    private final Path path;
    private final FileChannel channel;
    private final BasicFileAttributes opened;
    private final long size;

    private ModelFile(Path path, FileChannel channel, BasicFileAttributes opened, long size) {
        this.path = path;
        this.channel = channel;
        this.opened = opened;
        this.size = size;
    }

    /** Opens a file. Links are followed; what is no regular file is refused before it is opened, because opening a FIFO would block. */
    public static ModelFile open(Path path) {
        FileChannel channel = null;
        try {
            BasicFileAttributes attributes = Files.readAttributes(path, BasicFileAttributes.class);
            if (!attributes.isRegularFile()) {
                throw FormatError.of(
                        Reason.PATH,
                        path,
                        "expected a regular file, found " + (attributes.isDirectory() ? "a directory" : "a special file"));
            }
            channel = FileChannel.open(path, StandardOpenOption.READ);
            return new ModelFile(path, channel, attributes, channel.size());
        } catch (NoSuchFileException e) {
            throw FormatError.of(Reason.MISSING, path, "there is no such file", e);
        } catch (IOException e) {
            closeQuietly(channel);
            throw FormatError.of(Reason.IO, path, "cannot be opened: " + e, e);
        }
    }

    /** The file, as it was named when opened. */
    public Path path() {
        return path;
    }

    /** Its size in bytes when it was opened. */
    public long size() {
        return size;
    }

    /** Fills a buffer from its position to its limit with the bytes from a position of the file. */
    public void read(long position, ByteBuffer target) {
        if (position < 0 || target.remaining() > size - position) {
            throw error(
                    Reason.TRUNCATED,
                    "bytes " + position + " to " + (position + target.remaining()) + " are needed, the file has " + size);
        }
        long at = position;
        try {
            while (target.hasRemaining()) {
                int n = channel.read(target, at);
                if (n < 0) {
                    throw error(Reason.TRUNCATED, "the file ended at byte " + at + " while it was read; it had " + size + " bytes before");
                }
                at += n;
            }
            checkUnchanged();
        } catch (IOException e) {
            throw FormatError.of(Reason.IO, path, "reading at byte " + at + " failed: " + e, e);
        }
    }

    private void checkUnchanged() throws IOException {
        if (channel.size() != size) {
            throw error(Reason.IO, "the file changed while it was read: it had " + size + " bytes, now " + channel.size());
        }
        BasicFileAttributes now;
        try {
            now = Files.readAttributes(path, BasicFileAttributes.class);
        } catch (NoSuchFileException e) {
            return; // unlinked: what is open here is still the old file
        }
        boolean sameFile = Objects.equals(now.fileKey(), opened.fileKey());
        if (sameFile && !now.lastModifiedTime().equals(opened.lastModifiedTime())) {
            throw error(Reason.IO, "the file changed while it was read: it was written to at " + now.lastModifiedTime());
        }
    }

    /** Reads a range as a stream, a buffer at a time. */
    InputStream stream(long from, long to) {
        return new RangeStream(from, to);
    }

    /** An error in this file. */
    public ModelFileException error(Reason reason, String message) {
        return FormatError.of(reason, path, message);
    }

    @Override
    public void close() {
        closeQuietly(channel);
    }

    /** Closing what was only read loses nothing if it fails. */
    private static void closeQuietly(@Nullable FileChannel channel) {
        if (channel != null) {
            try {
                channel.close();
            } catch (IOException e) {
                org.slf4j.LoggerFactory.getLogger(ModelFile.class).debug("closing a file failed", e);
            }
        }
    }

    private final class RangeStream extends InputStream {
        private final long to;
        private final ByteBuffer buffer = ByteBuffer.allocate(1 << 16).limit(0);
        private long next;

        RangeStream(long from, long to) {
            this.next = from;
            this.to = to;
        }

        @Override
        public int read() {
            return fill() ? buffer.get() & 0xff : -1;
        }

        @Override
        public int read(byte[] target, int offset, int length) {
            if (length == 0) {
                return 0;
            }
            if (!fill()) {
                return -1;
            }
            int n = Math.min(length, buffer.remaining());
            buffer.get(target, offset, n);
            return n;
        }

        private boolean fill() {
            if (!buffer.hasRemaining()) {
                int n = (int) Math.min(buffer.capacity(), to - next);
                if (n <= 0) {
                    return false;
                }
                buffer.clear().limit(n);
                ModelFile.this.read(next, buffer);
                buffer.flip();
                next += n;
            }
            return true;
        }
    }
}
