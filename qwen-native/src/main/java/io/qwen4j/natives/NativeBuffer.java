package io.qwen4j.natives;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ints;
import io.qwen4j.core.ops.Weight;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * Memory of 4-byte elements that Java and the kernels both see. Closing gives the memory back at once; the addresses stay reserved until no
 * Java buffer can reach them, so that a buffer kept too long reads zeros instead of ending the process.
 */
abstract class NativeBuffer extends NativeResource {
    private static final Cleaner CLEANER = Cleaner.create();

    private final int rows;
    private final int columns;
    /** All bytes, in native order; buffers made from it keep it reachable. */
    final ByteBuffer bytes;

    NativeBuffer(String what, int rows, int columns) {
        this(NativeException.checkValue(NativeLibrary.createBuffer(rows, columns), what + " of " + rows + " x " + columns), rows, columns);
    }

    private NativeBuffer(long handle, int rows, int columns) {
        super(handle);
        this.rows = rows;
        this.columns = columns;
        ByteBuffer view = NativeLibrary.viewBuffer(handle);
        // Duplicates keep the view, not the duplicate, reachable; so the view is what is watched.
        CLEANER.register(view, () -> NativeLibrary.freeBuffer(handle));
        bytes = view.order(ByteOrder.nativeOrder());
    }

    public final int rows() {
        return rows;
    }

    public final int columns() {
        return columns;
    }

    @Override
    final void free(long handle) {
        NativeLibrary.discardBuffer(handle);
        Reference.reachabilityFence(bytes);
    }

    /** An activation. */
    static final class Floats extends NativeBuffer implements Activation {
        private final FloatBuffer buffer;

        Floats(int rows, int columns) {
            super("an activation", rows, columns);
            buffer = bytes.asFloatBuffer();
        }

        @Override
        String what() {
            return "the activation";
        }

        @Override
        public FloatBuffer buffer() {
            if (isClosed()) {
                throw new IllegalStateException("the activation is closed");
            }
            return buffer;
        }
    }

    /** An array of integers. */
    static final class Integers extends NativeBuffer implements Ints {
        private final IntBuffer buffer;

        Integers(int count) {
            super("an array of integers", 1, count);
            buffer = bytes.asIntBuffer();
        }

        @Override
        String what() {
            return "the array of integers";
        }

        @Override
        public IntBuffer buffer() {
            if (isClosed()) {
                throw new IllegalStateException("the array of integers is closed");
            }
            return buffer;
        }
    }

    /** A norm's gain or a bias. */
    static final class Vector extends NativeBuffer implements Weight {
        Vector(int columns) {
            super("a vector", 1, columns);
        }

        @Override
        String what() {
            return "the vector";
        }

        @Override
        public long bytes() {
            return 4L * columns();
        }
    }

    /** Bytes on their way from a file to packed weights. */
    static final class Staging extends NativeBuffer {
        Staging(int size) {
            super("a read buffer", 1, (size + 3) / 4);
        }

        @Override
        String what() {
            return "the read buffer";
        }
    }
}
