package io.qwen4j.natives;

import java.nio.ByteBuffer;

/** Bytes on their way from a file to a device. Used by one thread; nobody keeps its buffer. */
final class CudaStaging extends NativeResource {
    /** Its memory on the host. */
    final ByteBuffer bytes;

    CudaStaging(long backend, long size) {
        super(CudaException.checkValue(CudaLibrary.createStaging(backend, size), "a read buffer of " + size + " bytes"));
        long handle = acquire();
        try {
            bytes = CudaLibrary.viewStaging(handle);
        } finally {
            release();
        }
    }

    /** Returns when what was sent is in its place, and the buffer may be filled again. */
    void await(String what) {
        long handle = acquire();
        try {
            CudaException.check(CudaLibrary.awaitStaging(handle), what);
        } finally {
            release();
        }
    }

    /** Sends the rows that are in the first bytes of the buffer. */
    void send(WeightUpload.Piece piece, int count) {
        long handle = acquire();
        try {
            CudaException.check(
                    CudaLibrary.packRows(piece.weight(), piece.segment(), piece.firstRow(), piece.rows(), handle, count),
                    piece.part().name());
        } finally {
            release();
        }
    }

    @Override
    String what() {
        return "the read buffer";
    }

    @Override
    void free(long handle) {
        CudaLibrary.freeStaging(handle);
    }
}
