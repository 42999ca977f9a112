package io.qwen4j.natives;

import io.qwen4j.core.ops.Weight;

/** A matrix on a device. */
final class CudaWeight extends NativeResource implements Weight {
    private final CudaOps owner;
    private final int rows;
    private final int columns;
    private final long bytes;

    CudaWeight(CudaOps owner, long handle, int rows, int columns, long bytes) {
        super(handle);
        this.owner = owner;
        this.rows = rows;
        this.columns = columns;
        this.bytes = bytes;
    }

    /** The backend on whose device it is. */
    CudaOps owner() {
        return owner;
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
    String what() {
        return "the matrix";
    }

    @Override
    void free(long handle) {
        CudaLibrary.freeWeight(handle);
    }
}
