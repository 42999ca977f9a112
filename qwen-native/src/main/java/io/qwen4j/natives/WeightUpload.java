package io.qwen4j.natives;

import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.function.LongConsumer;

/** Reads tensors through a small buffer and packs them, so that a matrix is in memory once. */
final class WeightUpload {
    // Large enough for full disk speed and for all threads to pack at once, small beside any model.
    private static final long STAGING_BYTES = 4L << 20;
    private static final int PANEL_ROWS = 16;

    private WeightUpload() {}

    static NativeWeight matrix(CpuOps owner, long backend, List<TensorSource> parts, LongConsumer progress) {
        if (parts.isEmpty()) {
            throw new IllegalArgumentException("a matrix of no parts");
        }
        long columns = parts.get(0).columns();
        long rows = 0;
        long bytes = 0;
        for (TensorSource part : parts) {
            if (part.columns() != columns || part.rows() < 1 || columns < 1 || columns > Integer.MAX_VALUE) {
                throw new IllegalArgumentException(
                        part.name() + " has shape " + part.rows() + " x " + part.columns() + ", expected " + columns + " columns");
            }
            rows = Math.addExact(rows, part.rows());
            bytes = Math.addExact(bytes, bytes(backend, part));
        }
        if (rows > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(parts.get(0).name() + " and what follows have " + rows + " rows, more than 2^31 - 1");
        }
        long handle = NativeException.checkValue(NativeLibrary.createWeight(columns), parts.get(0).name());
        NativeWeight weight = new NativeWeight(owner, handle, (int) rows, (int) columns, bytes);
        try {
            for (TensorSource part : parts) {
                NativeException.check(NativeLibrary.addSegment(backend, handle, part.type().ordinal(), part.rows()), part.name());
                upload(backend, handle, part, progress);
            }
            return weight;
        } catch (RuntimeException | Error e) {
            weight.close();
            throw e;
        }
    }

    static long bytes(long backend, TensorSource part) {
        return NativeException.checkValue(
                NativeLibrary.segmentBytes(backend, part.type().ordinal(), part.rows(), part.columns()), part.name());
    }

    private static void upload(long backend, long handle, TensorSource part, LongConsumer progress) {
        long rowBytes = part.type().rowBytes(part.columns());
        long panelBytes = Math.multiplyExact(PANEL_ROWS, rowBytes);
        long rowsAtOnce = Math.min(Math.max(1, STAGING_BYTES / panelBytes) * PANEL_ROWS, part.rows());
        try (NativeBuffer.Staging staging = new NativeBuffer.Staging(Math.toIntExact(Math.multiplyExact(rowsAtOnce, rowBytes)))) {
            ByteBuffer buffer = staging.bytes;
            for (long row = 0; row < part.rows(); row += rowsAtOnce) {
                long count = Math.min(rowsAtOnce, part.rows() - row);
                int size = (int) (count * rowBytes);
                buffer.position(0).limit(size);
                part.read(row * rowBytes, buffer);
                buffer.position(0);
                NativeException.check(NativeLibrary.packRows(backend, handle, row, count, buffer, size), part.name());
                progress.accept(size);
            }
        }
    }

    static NativeBuffer.Vector vector(List<TensorSource> parts) {
        long columns = 0;
        for (TensorSource part : parts) {
            if (part.rows() != 1 || part.type().isQuantized() || part.columns() < 1) {
                throw new IllegalArgumentException(part.name() + " has type " + part.type() + " and shape " + part.rows() + " x "
                        + part.columns() + ", expected one row of F32, F16 or BF16");
            }
            columns = Math.addExact(columns, part.columns());
        }
        NativeBuffer.Vector vector = new NativeBuffer.Vector(Math.toIntExact(columns));
        try {
            int at = 0;
            for (TensorSource part : parts) {
                int count = (int) part.columns();
                byte[] blocks = new byte[Math.toIntExact(part.byteSize())];
                float[] values = new float[count];
                part.read(0, ByteBuffer.wrap(blocks));
                BlockCodec.of(part.type()).decode(blocks, 0, values, 0, count);
                vector.bytes.asFloatBuffer().put(at, values);
                at += count;
            }
            return vector;
        } catch (RuntimeException | Error e) {
            vector.close();
            throw e;
        }
    }
}
