package io.qwen4j.natives;

import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Reads tensors and packs them, so that a matrix is in memory once. Every thread reads its own rows into a buffer that stays in the cache
 * and packs them from there.
 */
final class WeightUpload {
    // What a thread takes at a time. Two threads at work in one huge page (2 MiB) would both fill it with zeros, one of them in vain.
    private static final long PIECE_BYTES = 4L << 20;
    // Large enough to hide the cost of a call, small enough to be packed from the cache.
    private static final long STAGING_BYTES = 512L << 10;
    private static final int PANEL_ROWS = 16;

    private final List<Piece> pieces = new ArrayList<>();
    private final LongConsumer progress;

    /** Rows of one segment of a weight. */
    record Piece(long weight, int segment, TensorSource part, long firstRow, long rows) {}

    private WeightUpload(LongConsumer progress) {
        this.progress = progress;
    }

    static List<NativeWeight> matrices(
            CpuOps owner, long backend, int threads, List<? extends List<TensorSource>> matrices, LongConsumer progress) {
        if (matrices.isEmpty()) {
            return List.of();
        }
        List<NativeWeight> weights = new ArrayList<>();
        try {
            WeightUpload upload = new WeightUpload(progress);
            for (List<TensorSource> parts : matrices) {
                weights.add(create(owner, backend, parts));
            }
            long arena = NativeException.checkValue(
                    NativeLibrary.createArena(weights.stream().mapToLong(NativeWeight::bytes).reduce(0, Math::addExact)), "the weights");
            try {
                for (int i = 0; i < weights.size(); i++) {
                    upload.addSegments(backend, arena, weights.get(i), matrices.get(i));
                }
            } finally {
                NativeLibrary.freeArena(arena);
            }
            upload.run(threads);
            return weights;
        } catch (RuntimeException | Error e) {
            weights.forEach(NativeWeight::close);
            throw e;
        }
    }

    private static NativeWeight create(CpuOps owner, long backend, List<TensorSource> parts) {
        return NativeWeight.of(
                owner,
                parts,
                part -> bytes(backend, part),
                columns -> NativeException.checkValue(NativeLibrary.createWeight(columns), parts.get(0).name()),
                NativeLibrary::freeWeight);
    }

    static long bytes(long backend, TensorSource part) {
        return NativeException.checkValue(
                NativeLibrary.segmentBytes(backend, part.type().ordinal(), part.rows(), part.columns()), part.name());
    }

    private void addSegments(long backend, long arena, NativeWeight weight, List<TensorSource> parts) {
        long handle = weight.acquire();
        try {
            for (int segment = 0; segment < parts.size(); segment++) {
                TensorSource part = parts.get(segment);
                int[] order = order(part, weight.columns());
                NativeException.check(
                        NativeLibrary.addSegment(backend, handle, part.type().ordinal(), part.rows(), order, arena), part.name());
                long rowsAtOnce = rowsOf(part, PIECE_BYTES);
                for (long row = 0; row < part.rows(); row += rowsAtOnce) {
                    pieces.add(new Piece(handle, segment, part, row, Math.min(rowsAtOnce, part.rows() - row)));
                }
            }
        } finally {
            weight.release();
        }
    }

    /** The order of a part's columns, which has as many numbers as there are columns; null if there is none. */
    static int @Nullable [] order(TensorSource part, int columns) {
        int[] order = part.columnOrder();
        if (order != null && order.length != columns) {
            throw new IllegalArgumentException(part.name() + " has an order of " + order.length + " columns, expected " + columns);
        }
        return order;
    }

    /** Whole panels in about so many bytes of the file, at least one. */
    private static long rowsOf(TensorSource part, long bytes) {
        long panelBytes = Math.multiplyExact(PANEL_ROWS, part.type().rowBytes(part.columns()));
        return Math.min(Math.max(1, bytes / panelBytes) * PANEL_ROWS, part.rows());
    }

    private void run(int threads) {
        long most = 0;
        for (Piece piece : pieces) {
            most = Math.max(most, Math.multiplyExact(rowsOf(piece.part, STAGING_BYTES), piece.part.type().rowBytes(piece.part.columns())));
        }
        int size = Math.toIntExact(most);
        PieceWork.run(pieces, threads, () -> new Packer(size), progress);
    }

    /** Reads and packs on one thread. */
    private static final class Packer implements PieceWork.Worker<Piece> {
        private final NativeBuffer.Staging staging;

        Packer(int size) {
            staging = new NativeBuffer.Staging(size);
        }

        @Override
        public void work(Piece piece, PieceWork.Progress progress) {
            ByteBuffer buffer = staging.bytes;
            long rowBytes = piece.part.type().rowBytes(piece.part.columns());
            long rowsAtOnce = rowsOf(piece.part, STAGING_BYTES);
            boolean goesOn = true;
            for (long done = 0; done < piece.rows && goesOn; done += rowsAtOnce) {
                long rows = Math.min(rowsAtOnce, piece.rows - done);
                long row = piece.firstRow + done;
                int size = (int) (rows * rowBytes);
                piece.part.read(row * rowBytes, buffer.position(0).limit(size));
                buffer.position(0);
                NativeException.check(
                        NativeLibrary.packRows(piece.weight, piece.segment, row, rows, buffer, size), piece.part.name());
                goesOn = progress.add(size);
            }
        }

        @Override
        public void close() {
            staging.close();
        }
    }

    static NativeBuffer.Vector vector(List<TensorSource> parts) {
        float[] values = values(parts);
        NativeBuffer.Vector vector = new NativeBuffer.Vector(values.length);
        vector.bytes.asFloatBuffer().put(0, values);
        return vector;
    }

    /** The values of vectors that follow each other. */
    static float[] values(List<TensorSource> parts) {
        long columns = 0;
        for (TensorSource part : parts) {
            if (part.rows() != 1 || part.type().isQuantized() || part.columns() < 1) {
                throw new IllegalArgumentException(part.name() + " has type " + part.type() + " and shape " + part.rows() + " x "
                        + part.columns() + ", expected one row of F32, F16 or BF16");
            }
            columns = Math.addExact(columns, part.columns());
        }
        float[] values = new float[Math.toIntExact(columns)];
        int at = 0;
        for (TensorSource part : parts) {
            int count = (int) part.columns();
            byte[] blocks = new byte[Math.toIntExact(part.byteSize())];
            part.read(0, ByteBuffer.wrap(blocks));
            BlockCodec.of(part.type()).decode(blocks, 0, values, at, count);
            at += count;
        }
        return values;
    }
}
