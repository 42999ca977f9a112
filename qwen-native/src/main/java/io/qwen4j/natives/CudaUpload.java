package io.qwen4j.natives;

import io.qwen4j.core.ops.TensorSource;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Reads tensors and sends them to a device in pieces. Each thread has two buffers in turn: while one is on its way, it reads into the other.
 *
 * <p>The floor is the bus. 15.2 GB, a 7B model in BF16, take 0.28 s on PCIe 5 x16 (about 55 GB/s) and 0.6 s on PCIe 4 (25 GB/s). A core
 * copies 5 to 8 GB/s out of the page cache, so that one thread takes 2 to 3 s and six 0.3 to 0.5 s.
 */
final class CudaUpload {
    // A copy of 16 MiB takes 0.3 ms, in which starting it and laying out its rows do not show.
    private static final long STAGING_BYTES = 16L << 20;
    private static final int STAGINGS_OF_THREAD = 2;
    // Of all buffers: what has to be laid out takes as much of the device on its way, which must fit into the margin of scratch_bytes.
    private static final long MOST_BYTES = 192L << 20;
    // What a thread at least sends: pinning its buffers takes about as long as copying four times as much.
    private static final long LEAST_OF_THREAD = 128L << 20;

    private final List<WeightUpload.Piece> pieces = new ArrayList<>();

    private CudaUpload() {}

    static List<NativeWeight> matrices(
            CudaOps owner, long backend, int threads, List<? extends List<TensorSource>> matrices, LongConsumer progress) {
        if (matrices.isEmpty()) {
            return List.of();
        }
        List<NativeWeight> weights = new ArrayList<>();
        try {
            for (List<TensorSource> parts : matrices) {
                weights.add(create(owner, parts));
            }
            long arena = CudaException.checkValue(
                    CudaLibrary.createArena(backend, weights.stream().mapToLong(NativeWeight::bytes).reduce(0, Math::addExact)),
                    "the weights");
            CudaUpload upload = new CudaUpload();
            long size = stagingBytes(matrices);
            try {
                for (int i = 0; i < weights.size(); i++) {
                    upload.addSegments(weights.get(i), matrices.get(i), arena, size);
                }
            } finally {
                CudaLibrary.freeArena(arena);
            }
            PieceWork.run(upload.pieces, threads(threads, matrices, size), () -> new Sender(backend, size), progress);
            return weights;
        } catch (RuntimeException | Error e) {
            weights.forEach(NativeWeight::close);
            throw e;
        }
    }

    private static NativeWeight create(CudaOps owner, List<TensorSource> parts) {
        return NativeWeight.of(
                owner,
                parts,
                CudaUpload::bytes,
                columns -> CudaException.checkValue(CudaLibrary.createWeight(columns), parts.get(0).name()),
                CudaLibrary::freeWeight);
    }

    static long bytes(TensorSource part) {
        return CudaException.checkValue(CudaLibrary.segmentBytes(part.type().ordinal(), part.rows(), part.columns()), part.name());
    }

    private void addSegments(NativeWeight weight, List<TensorSource> parts, long arena, long size) {
        long handle = weight.acquire();
        try {
            for (int segment = 0; segment < parts.size(); segment++) {
                TensorSource part = parts.get(segment);
                CudaException.check(CudaLibrary.addSegment(
                        handle, part.type().ordinal(), part.rows(), WeightUpload.order(part, weight.columns()), arena), part.name());
                long rowsAtOnce = size / part.type().rowBytes(part.columns());
                for (long row = 0; row < part.rows(); row += rowsAtOnce) {
                    pieces.add(new WeightUpload.Piece(handle, segment, part, row, Math.min(rowsAtOnce, part.rows() - row)));
                }
            }
        } finally {
            weight.release();
        }
    }

    /** Room for whole rows of every tensor. */
    private static long stagingBytes(List<? extends List<TensorSource>> matrices) {
        long most = 0;
        long row = 0;
        for (List<TensorSource> parts : matrices) {
            for (TensorSource part : parts) {
                most = Math.max(most, part.byteSize());
                row = Math.max(row, part.type().rowBytes(part.columns()));
            }
        }
        return Math.max(row, Math.min(most, STAGING_BYTES));
    }

    private static int threads(int wanted, List<? extends List<TensorSource>> matrices, long size) {
        long bytes = matrices.stream().flatMap(List::stream).mapToLong(TensorSource::byteSize).reduce(0, Math::addExact);
        long most = Math.min(MOST_BYTES / (STAGINGS_OF_THREAD * size), bytes / LEAST_OF_THREAD);
        return (int) Math.max(1, Math.min(wanted, most));
    }

    /** Reads and sends on one thread. */
    private static final class Sender implements PieceWork.Worker<WeightUpload.Piece> {
        private final long backend;
        private final long size;
        private final @Nullable CudaStaging[] stagings = new @Nullable CudaStaging[STAGINGS_OF_THREAD];
        private int next;

        Sender(long backend, long size) {
            this.backend = backend;
            this.size = size;
        }

        @Override
        public void work(WeightUpload.Piece piece, PieceWork.Progress progress) {
            CudaStaging staging = stagings[next];
            if (staging == null) {
                staging = new CudaStaging(backend, size);
                stagings[next] = staging;
            }
            next = (next + 1) % stagings.length;
            TensorSource part = piece.part();
            long rowBytes = part.type().rowBytes(part.columns());
            int bytes = Math.toIntExact(piece.rows() * rowBytes);
            staging.await(part.name());
            ByteBuffer buffer = staging.bytes;
            part.read(piece.firstRow() * rowBytes, buffer.position(0).limit(bytes));
            buffer.clear();
            staging.send(piece, bytes);
            progress.add(bytes);
        }

        @Override
        public void end() {
            for (CudaStaging staging : stagings) {
                if (staging != null) {
                    staging.await("laying out the weights");
                }
            }
        }

        @Override
        public void close() {
            for (CudaStaging staging : stagings) {
                if (staging != null) {
                    staging.close();
                }
            }
        }
    }
}
