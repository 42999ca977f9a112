package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.FormatError;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes a GGUF file, version 3, little-endian. The tensors' data is streamed in the order of the table.
 *
 * <p>The file is written beside its target under another name and moved there by {@link #finish()} when it is complete and on the disk;
 * closing without finishing deletes it. Not thread-safe.
 */
public final class GgufWriter implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(GgufWriter.class);
    private static final int VERSION = 3;
    private static final String ALIGNMENT_KEY = "general.alignment";
    private static final int DEFAULT_ALIGNMENT = 32;

    private final Path target;
    private final Path temporary;
    private final FileChannel channel;
    private final List<Tensor> tensors;
    private final int alignment;
    private int current;
    private long left;
    private boolean finished;

    /**
     * A tensor to be written.
     *
     * @param name its name in the file
     * @param type storage type
     * @param shape dimensions, the slowest first
     */
    public record Tensor(String name, WeightType type, List<Long> shape) {
        /** Checks that GGUF has the type, and that rows are whole blocks. */
        public Tensor {
            if (!type.isGguf()) {
                throw new IllegalArgumentException("GGUF has no type " + type);
            }
            shape = List.copyOf(shape);
            type.rowBytes(shape.get(shape.size() - 1));
        }

        /** Size of the data. */
        public long bytes() {
            long rows = 1;
            for (long n : shape.subList(0, shape.size() - 1)) {
                rows = Math.multiplyExact(rows, n);
            }
            return Math.multiplyExact(rows, type.rowBytes(shape.get(shape.size() - 1)));
        }
    }

    private GgufWriter(Path target, Path temporary, FileChannel channel, List<Tensor> tensors, int alignment) {
        this.target = target;
        this.temporary = temporary;
        this.channel = channel;
        this.tensors = tensors;
        this.alignment = alignment;
    }

    /**
     * Checks the space on the disk and writes the header.
     *
     * @param target the file that {@link #finish()} makes; an existing one is replaced
     * @param metadata keys and values, in the order of the file
     * @param tensors the table
     */
    public static GgufWriter create(Path target, Map<String, GgufValue> metadata, List<Tensor> tensors) {
        int alignment = metadata.containsKey(ALIGNMENT_KEY) ? (int) metadata.get(ALIGNMENT_KEY).integers()[0] : DEFAULT_ALIGNMENT;
        checkNames(tensors);
        var header = new GgufHeaderWriter();
        header.begin(VERSION, tensors.size(), metadata.size());
        metadata.forEach(header::value);
        long offset = 0;
        for (Tensor tensor : tensors) {
            header.tensor(tensor, offset);
            offset = aligned(Math.addExact(offset, tensor.bytes()), alignment);
        }
        header.pad(alignment);
        Path absolute = target.toAbsolutePath();
        Path temporary = absolute.resolveSibling("." + absolute.getFileName() + "." + UUID.randomUUID() + ".part");
        try {
            checkSpace(absolute, Math.addExact(offset, header.size()));
            FileChannel channel = FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
            var writer = new GgufWriter(absolute, temporary, channel, List.copyOf(tensors), alignment);
            writer.start(header.bytes());
            return writer;
        } catch (IOException e) {
            throw FormatError.of(Reason.IO, target, "cannot be written: " + e, e);
        }
    }

    private static void checkNames(List<Tensor> tensors) {
        Set<String> names = new HashSet<>();
        for (Tensor tensor : tensors) {
            if (!names.add(tensor.name())) {
                throw new IllegalArgumentException("the tensor " + tensor.name() + " occurs twice");
            }
        }
    }

    private static void checkSpace(Path target, long needed) throws IOException {
        long free = Files.getFileStore(target.getParent()).getUsableSpace();
        if (free < needed) {
            throw FormatError.of(Reason.IO, target, "the file needs " + needed + " bytes, the disk has " + free + " left");
        }
    }

    private void start(ByteBuffer header) {
        try {
            writeFully(header);
        } catch (Throwable e) {
            close();
            throw e;
        }
        left = tensors.isEmpty() ? 0 : tensors.get(0).bytes();
        skipEmpty();
    }

    /**
     * Writes the next bytes of the tensor whose turn it is. A tensor that is complete is padded, and the next one's turn comes.
     *
     * @param data from its position to its limit, at most to the end of the tensor
     */
    public void write(ByteBuffer data) {
        if (data.remaining() > left) {
            throw new IllegalArgumentException(data.remaining() + " bytes are more than the " + left + " that are left of "
                    + (current < tensors.size() ? tensors.get(current).name() : "the file"));
        }
        left -= data.remaining();
        writeFully(data);
        skipEmpty();
    }

    /** The tensor whose data comes next, or null if all are written. */
    public @org.jspecify.annotations.Nullable Tensor next() {
        return current < tensors.size() ? tensors.get(current) : null;
    }

    private void skipEmpty() {
        while (left == 0 && current < tensors.size()) {
            long bytes = tensors.get(current).bytes();
            writeFully(ByteBuffer.allocate((int) (aligned(bytes, alignment) - bytes)));
            current++;
            left = current < tensors.size() ? tensors.get(current).bytes() : 0;
        }
    }

    private void writeFully(ByteBuffer data) {
        try {
            while (data.hasRemaining()) {
                channel.write(data);
            }
        } catch (IOException e) {
            throw FormatError.of(Reason.IO, target, "writing failed: " + e, e);
        }
    }

    /** Puts the complete file in its place. */
    public void finish() {
        if (current < tensors.size()) {
            throw new IllegalStateException(left + " bytes of " + tensors.get(current).name() + " are not written");
        }
        try {
            channel.force(true);
            channel.close();
            move();
            finished = true;
            syncDirectory();
        } catch (IOException e) {
            throw FormatError.of(Reason.IO, target, "writing failed: " + e, e);
        }
    }

    private void move() throws IOException {
        try {
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (AtomicMoveNotSupportedException e) {
            Files.move(temporary, target, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** The new name is on the disk once its directory is; some systems cannot open directories, and there the name comes when it comes. */
    private void syncDirectory() {
        try (FileChannel directory = FileChannel.open(target.getParent(), StandardOpenOption.READ)) {
            directory.force(true);
        } catch (IOException e) {
            LOG.debug("the directory of {} cannot be synchronized", target, e);
        }
    }

    private static long aligned(long position, int alignment) {
        return Math.addExact(position, alignment - 1) & -(long) alignment;
    }

    @Override
    public void close() {
        try {
            channel.close();
            if (!finished) {
                Files.deleteIfExists(temporary);
            }
        } catch (IOException e) {
            LOG.warn("{} is left over and can be deleted", temporary, e);
        }
    }
}
