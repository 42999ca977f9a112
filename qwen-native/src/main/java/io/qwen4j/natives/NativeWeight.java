package io.qwen4j.natives;

import io.qwen4j.core.ops.Weight;

/** A matrix packed into panels of 16 rows. */
final class NativeWeight extends NativeResource implements Weight {
    private final CpuOps owner;
    private final int rows;
    private final int columns;
    private final long bytes;

    NativeWeight(CpuOps owner, long handle, int rows, int columns, long bytes) {
        super(handle);
        this.owner = owner;
        this.rows = rows;
        this.columns = columns;
        this.bytes = bytes;
    }

    /** The backend whose instruction set decided the layout of the panels. */
    CpuOps owner() {
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
        NativeLibrary.freeWeight(handle);
    }
}
