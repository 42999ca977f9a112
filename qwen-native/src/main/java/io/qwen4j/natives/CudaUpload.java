package io.qwen4j.natives;

import io.qwen4j.core.ops.TensorSource;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/** Reads tensors and sends them to a device in pieces: while one is sent and laid out there, the next one is read. */
final class CudaUpload {
    private static final long STAGING_BYTES = 16L << 20;

    private final LongConsumer progress;
    private final @Nullable CudaStaging[] stagings = new @Nullable CudaStaging[2];
    private int next;

    private CudaUpload(LongConsumer progress) {
        this.progress = progress;
    }

    static List<NativeWeight> matrices(
            CudaOps owner, long backend, List<? extends List<TensorSource>> matrices, LongConsumer progress) {
        if (matrices.isEmpty()) {
            return List.of();
        }
        List<NativeWeight> weights = new ArrayList<>();
        CudaUpload upload = new CudaUpload(progress);
        try {
            for (List<TensorSource> parts : matrices) {
                weights.add(create(owner, parts));
            }
            long arena = CudaException.checkValue(
                    CudaLibrary.createArena(backend, weights.stream().mapToLong(NativeWeight::bytes).reduce(0, Math::addExact)),
                    "the weights");
            try {
                for (int i = 0; i < weights.size(); i++) {
                    addSegments(weights.get(i), matrices.get(i), arena);
                }
            } finally {
                CudaLibrary.freeArena(arena);
            }
            long size = stagingBytes(matrices);
            for (int i = 0; i < upload.stagings.length; i++) {
                upload.stagings[i] = new CudaStaging(backend, size);
            }
            for (int i = 0; i < weights.size(); i++) {
                upload.send(weights.get(i), matrices.get(i), size);
            }
            CudaException.check(CudaLibrary.await(backend), "laying out the weights");
            return weights;
        } catch (RuntimeException | Error e) {
            weights.forEach(NativeWeight::close);
            throw e;
        } finally {
            for (CudaStaging staging : upload.stagings) {
                if (staging != null) {
                    staging.close();
                }
            }
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

    private static void addSegments(NativeWeight weight, List<TensorSource> parts, long arena) {
        long handle = weight.acquire();
        try {
            for (TensorSource part : parts) {
                CudaException.check(CudaLibrary.addSegment(
                        handle, part.type().ordinal(), part.rows(), WeightUpload.order(part, weight.columns()), arena), part.name());
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

    private void send(NativeWeight weight, List<TensorSource> parts, long size) {
        long handle = weight.acquire();
        try {
            for (int segment = 0; segment < parts.size(); segment++) {
                TensorSource part = parts.get(segment);
                long rowBytes = part.type().rowBytes(part.columns());
                long rowsAtOnce = size / rowBytes;
                for (long row = 0; row < part.rows(); row += rowsAtOnce) {
                    long rows = Math.min(rowsAtOnce, part.rows() - row);
                    sendRows(handle, segment, part, row, rows, Math.toIntExact(rows * rowBytes));
                }
            }
        } finally {
            weight.release();
        }
    }

    private void sendRows(long weight, int segment, TensorSource part, long row, long rows, int bytes) {
        CudaStaging staging = Objects.requireNonNull(stagings[next]);
        next = (next + 1) % stagings.length;
        long handle = staging.acquire();
        try {
            CudaException.check(CudaLibrary.awaitStaging(handle), part.name());
            ByteBuffer buffer = staging.bytes;
            part.read(row * part.type().rowBytes(part.columns()), buffer.position(0).limit(bytes));
            buffer.clear();
            CudaException.check(CudaLibrary.packRows(weight, segment, row, rows, handle, bytes), part.name());
        } finally {
            staging.release();
        }
        progress.accept(bytes);
    }
}
