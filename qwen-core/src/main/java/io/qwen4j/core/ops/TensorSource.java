package io.qwen4j.core.ops;

import io.qwen4j.WeightType;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * A weight tensor that can be read: a matrix, row-major, or a vector (one row). Shape, type and size were checked before.
 *
 * <p>Thread-safe. Reading throws {@link io.qwen4j.ModelFileException} if the file fails.
 */
public interface TensorSource {
    /** The checkpoint's name of the tensor, for messages. */
    String name();

    /** Storage type of the values. */
    WeightType type();

    /** Rows; the first dimension. 1 for a vector. */
    long rows();

    /** Columns; the last dimension, a whole number of blocks of {@link #type()}. */
    long columns();

    /**
     * Which column of the matrix each stored column is, where they are stored in another order: value c of a row as it is read is value
     * {@code columnOrder()[c]} of the matrix. A permutation; null if the columns are stored as they are. Not to be changed.
     */
    default int @Nullable [] columnOrder() {
        return null;
    }

    /** Size in bytes: {@code rows * type.rowBytes(columns)}. */
    default long byteSize() {
        return Math.multiplyExact(rows(), type().rowBytes(columns()));
    }

    /**
     * Reads bytes.
     *
     * @param offset first byte, relative to the tensor
     * @param target is filled from its position to its limit; direct or not, any byte order
     */
    void read(long offset, ByteBuffer target);
}
