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
import org.jspecify.annotations.Nullable;

/**
 * Memory of 4-byte elements on a device, and what Java sees of it, which is made when Java looks first. The native side knows where the newest
 * values are. Closing gives both back at once; the addresses that Java saw stay reserved until no Java buffer can reach them, so that
 * a buffer kept too long reads zeros instead of ending the process.
 */
abstract class CudaBuffer extends NativeResource {
    private static final Cleaner CLEANER = Cleaner.create();

    private final int rows;
    private final int columns;
    private @Nullable ByteBuffer view;

    CudaBuffer(CudaBackend backend, String what, int rows, int columns, boolean hostOnly) {
        super(create(backend, what, rows, columns, hostOnly));
        this.rows = rows;
        this.columns = columns;
    }

    private static long create(CudaBackend backend, String what, int rows, int columns, boolean hostOnly) {
        long owner = backend.acquire();
        try {
            return CudaException.checkValue(
                    CudaLibrary.createBuffer(owner, rows, columns, hostOnly), what + " of " + rows + " x " + columns);
        } finally {
            backend.release();
        }
    }

    public final int rows() {
        return rows;
    }

    public final int columns() {
        return columns;
    }

    /** All bytes, in native order; buffers made from it keep it reachable. */
    final synchronized ByteBuffer view() {
        ByteBuffer seen = view;
        if (seen == null) {
            long handle = acquire();
            try {
                ByteBuffer made = CudaLibrary.viewBuffer(handle);
                if (made == null) {
                    throw new IllegalStateException(what() + " cannot be seen: " + CudaException.lastError());
                }
                // Duplicates keep the view, not the duplicate, reachable; so the view is what is watched.
                CLEANER.register(made, () -> CudaLibrary.freeBuffer(handle));
                seen = made.order(ByteOrder.nativeOrder());
                view = seen;
            } finally {
                release();
            }
        }
        return seen;
    }

    /** Brings the newest values to the host; what Java writes from now on is the newest. */
    final void look() {
        long handle = acquire();
        try {
            CudaException.check(CudaLibrary.lookAt(handle), what());
        } finally {
            release();
        }
    }

    @Override
    final void free(long handle) {
        CudaLibrary.discardBuffer(handle);
        synchronized (this) {
            if (view == null) {
                CudaLibrary.freeBuffer(handle);
            } else {
                Reference.reachabilityFence(view);
            }
        }
    }

    /** An activation. */
    static final class Floats extends CudaBuffer implements Activation {
        private @Nullable FloatBuffer buffer;

        Floats(CudaBackend backend, int rows, int columns) {
            super(backend, "an activation", rows, columns, false);
        }

        @Override
        String what() {
            return "the activation";
        }

        @Override
        public FloatBuffer buffer() {
            FloatBuffer seen = buffer;
            if (seen == null) {
                seen = view().asFloatBuffer();
                buffer = seen;
            }
            look();
            return seen;
        }
    }

    /** An array of integers: memory of the host, of which operations send what they need, and which they may compute on the device. */
    static final class Integers extends CudaBuffer implements Ints {
        private final IntBuffer buffer;

        Integers(CudaBackend backend, int count) {
            super(backend, "an array of integers", 1, count, true);
            buffer = view().asIntBuffer();
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
            look();
            return buffer;
        }
    }

    /** A norm's gain or a bias. */
    static final class Vector extends CudaBuffer implements Weight {
        private Vector(CudaBackend backend, int columns) {
            super(backend, "a vector", 1, columns, false);
        }

        static Vector of(CudaBackend backend, float[] values) {
            Vector vector = new Vector(backend, values.length);
            try {
                vector.look();
                vector.view().asFloatBuffer().put(0, values);
                return vector;
            } catch (RuntimeException | Error e) {
                vector.close();
                throw e;
            }
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
}
