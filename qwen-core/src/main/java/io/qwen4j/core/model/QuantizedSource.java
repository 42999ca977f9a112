package io.qwen4j.core.model;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.stream.IntStream;

/**
 * A tensor whose rows are converted to another type while they are read. Rows of one read are converted on all processors; a row that two
 * reads share is converted twice, so reads should be large. To a wider type the conversion is exact. Columns that are stored in another
 * order get their own.
 */
final class QuantizedSource implements TensorSource {
    // Values of a piece of work: small enough to share a read among processors, large enough to hide the cost of handing it out.
    private static final int PIECE_VALUES = 1 << 16;

    private final TensorSource source;
    private final WeightType type;
    private final ConversionBuffers buffers;
    private final int columns;
    private final long rowBytes;

    private QuantizedSource(TensorSource source, WeightType type, ConversionBuffers buffers) {
        this.source = source;
        this.type = type;
        this.buffers = buffers;
        columns = Math.toIntExact(source.columns());
        rowBytes = type.rowBytes(columns);
    }

    /** The tensor as {@code type}; the source itself where it has that type. */
    static TensorSource of(TensorSource source, WeightType type, ConversionBuffers buffers) {
        return source.type() == type ? source : new QuantizedSource(source, type, buffers);
    }

    @Override
    public String name() {
        return source.name();
    }

    @Override
    public WeightType type() {
        return type;
    }

    @Override
    public long rows() {
        return source.rows();
    }

    @Override
    public long columns() {
        return columns;
    }

    @Override
    public void read(long offset, ByteBuffer target) {
        long end = offset + target.remaining();
        if (offset < 0 || end > byteSize()) {
            throw new IndexOutOfBoundsException("bytes " + offset + " to " + end + " of tensor " + name() + " of " + byteSize() + " bytes");
        }
        ByteBuffer out = target.slice();
        target.position(target.limit());
        int pieceRows = Math.max(1, PIECE_VALUES / columns);
        long firstRow = offset / rowBytes;
        long rows = (end + rowBytes - 1) / rowBytes - firstRow;
        int pieces = Math.toIntExact((rows + pieceRows - 1) / pieceRows);
        IntStream.range(0, pieces).parallel().forEach(piece -> {
            long row = firstRow + (long) piece * pieceRows;
            int count = (int) Math.min(pieceRows, firstRow + rows - row);
            ConversionBuffers.Buffers memory = buffers.take(
                    Math.toIntExact(count * source.type().rowBytes(columns)), Math.toIntExact(count * rowBytes), 2 * columns);
            try {
                convert(row, count, memory);
                long begin = row * rowBytes;
                int from = (int) Math.max(0, offset - begin);
                int to = (int) Math.min(count * rowBytes, end - begin);
                out.duplicate().position((int) (begin + from - offset)).put(memory.out, from, to - from);
            } finally {
                buffers.giveBack(memory);
            }
        });
    }

    private void convert(long firstRow, int rows, ConversionBuffers.Buffers memory) {
        int sourceRowBytes = (int) source.type().rowBytes(columns);
        int[] order = source.columnOrder();
        source.read(firstRow * sourceRowBytes, ByteBuffer.wrap(memory.in, 0, rows * sourceRowBytes));
        float[] values = memory.values;
        BlockCodec from = BlockCodec.of(source.type());
        BlockCodec to = BlockCodec.of(type);
        for (int r = 0; r < rows; r++) {
            from.decode(memory.in, r * sourceRowBytes, values, order == null ? 0 : columns, columns);
            for (int i = 0; order != null && i < columns; i++) {
                values[order[i]] = values[columns + i];
            }
            checkFinite(values, firstRow + r);
            to.encode(values, 0, memory.out, (int) (r * rowBytes), columns);
        }
    }

    private void checkFinite(float[] values, long row) {
        for (int i = 0; i < columns; i++) {
            if (!Float.isFinite(values[i])) {
                throw new ModelFileException(Reason.VALUE, null, "tensor " + name() + ": value [" + row + ", " + i + "] is " + values[i]
                        + ", expected a finite number to quantize");
            }
        }
    }
}
