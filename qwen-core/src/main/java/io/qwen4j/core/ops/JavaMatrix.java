package io.qwen4j.core.ops;

import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/** A matrix in the blocks of its file; rows are decoded when they are used. */
final class JavaMatrix implements Weight {
    // Rows stay whole within a chunk, and a Java array holds less than 2 GiB.
    private static final int CHUNK_BYTES = 1 << 30;
    // One read: large enough for full disk speed, small enough to report progress and to cancel.
    private static final int READ_BYTES = 4 << 20;

    private final int rows;
    private final int columns;
    private final long bytes;
    private Part[] parts;

    /** Rows of one source. */
    private record Part(
            BlockCodec codec, int firstRow, int rowBytes, int rowsPerChunk, byte[][] chunks, int @Nullable [] columnOrder) {}

    JavaMatrix(List<TensorSource> sources, LongConsumer progress) {
        this(sources, progress, CHUNK_BYTES);
    }

    /** As above, with chunks of another size; for tests. */
    JavaMatrix(List<TensorSource> sources, LongConsumer progress, int chunkBytes) {
        if (sources.isEmpty()) {
            throw new IllegalArgumentException("a matrix of no parts");
        }
        columns = Math.toIntExact(sources.get(0).columns());
        parts = new Part[sources.size()];
        int row = 0;
        long size = 0;
        for (int i = 0; i < parts.length; i++) {
            TensorSource source = sources.get(i);
            if (source.columns() != columns || source.rows() < 1) {
                throw new IllegalArgumentException(
                        source.name() + " has shape " + source.rows() + " x " + source.columns() + ", expected " + columns + " columns");
            }
            parts[i] = read(source, row, progress, chunkBytes);
            row = Math.toIntExact(row + source.rows());
            size += source.byteSize();
        }
        rows = row;
        bytes = size;
    }

    private static Part read(TensorSource source, int firstRow, LongConsumer progress, int chunkBytes) {
        int rowBytes = HeapMemory.length(source.type().rowBytes(source.columns()));
        int rowsPerChunk = Math.max(1, chunkBytes / rowBytes);
        byte[][] chunks = new byte[Math.toIntExact((source.rows() + rowsPerChunk - 1) / rowsPerChunk)][];
        long offset = 0;
        for (int i = 0; i < chunks.length; i++) {
            int size = (int) (Math.min(rowsPerChunk, source.rows() - (long) i * rowsPerChunk) * rowBytes);
            byte[] chunk = HeapMemory.allocate(source.name(), size, () -> new byte[size]);
            for (int at = 0; at < size; at += READ_BYTES) {
                int count = Math.min(READ_BYTES, size - at);
                source.read(offset, ByteBuffer.wrap(chunk, at, count));
                offset += count;
                progress.accept(count);
            }
            chunks[i] = chunk;
        }
        return new Part(BlockCodec.of(source.type()), firstRow, rowBytes, rowsPerChunk, chunks, source.columnOrder());
    }

    /** Decodes a row into {@code values[at]} and following; the columns must be stored as they are. */
    void decodeRow(int row, float[] values, int at) {
        decodeRow(row, values, at, -1);
    }

    /** Decodes a row into {@code values[at]} and following; {@code values[scratch]} and following have room for another row. */
    void decodeRow(int row, float[] values, int at, int scratch) {
        int i = parts.length - 1;
        while (parts[i].firstRow > row) {
            i--;
        }
        Part part = parts[i];
        int r = row - part.firstRow;
        int[] order = part.columnOrder;
        if (order != null && scratch < 0) {
            throw new IllegalArgumentException("the columns of an embedding have another order");
        }
        int to = order == null ? at : scratch;
        part.codec.decode(part.chunks[r / part.rowsPerChunk], r % part.rowsPerChunk * part.rowBytes, values, to, columns);
        if (order != null) {
            for (int c = 0; c < columns; c++) {
                values[at + order[c]] = values[scratch + c];
            }
        }
    }

    @Override
    public int rows() {
        return rows;
    }

    @Override
    public int columns() {
        return columns;
    }

    @Override
    public long bytes() {
        return bytes;
    }

    @Override
    public void close() {
        parts = new Part[0];
    }
}
