package io.qwen4j.natives;

import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.util.List;
import java.util.function.LongConsumer;
import java.util.function.LongUnaryOperator;
import java.util.function.ToLongFunction;

/** A matrix in the layout of its backend. */
final class NativeWeight extends NativeResource implements Weight {
    private final NativeOps owner;
    private final int rows;
    private final int columns;
    private final long bytes;
    private final LongConsumer free;

    NativeWeight(NativeOps owner, long handle, int rows, int columns, long bytes, LongConsumer free) {
        super(handle);
        this.owner = owner;
        this.rows = rows;
        this.columns = columns;
        this.bytes = bytes;
        this.free = free;
    }

    /**
     * Makes a matrix of parts whose rows follow each other, without their values.
     *
     * @param bytes memory of a part
     * @param create makes the native matrix of so many columns
     * @param free frees it
     */
    static NativeWeight of(
            NativeOps owner, List<TensorSource> parts, ToLongFunction<TensorSource> bytes, LongUnaryOperator create, LongConsumer free) {
        if (parts.isEmpty()) {
            throw new IllegalArgumentException("a matrix of no parts");
        }
        long columns = parts.get(0).columns();
        long rows = 0;
        long sum = 0;
        for (TensorSource part : parts) {
            if (part.columns() != columns || part.rows() < 1 || columns < 1 || columns > Integer.MAX_VALUE) {
                throw new IllegalArgumentException(
                        part.name() + " has shape " + part.rows() + " x " + part.columns() + ", expected " + columns + " columns");
            }
            rows = Math.addExact(rows, part.rows());
            sum = Math.addExact(sum, bytes.applyAsLong(part));
        }
        if (rows > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(parts.get(0).name() + " and what follows have " + rows + " rows, more than 2^31 - 1");
        }
        return new NativeWeight(owner, create.applyAsLong(columns), (int) rows, (int) columns, sum, free);
    }

    /** The backend that decided its layout and has it in its memory. */
    NativeOps owner() {
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
        free.accept(handle);
    }
}
