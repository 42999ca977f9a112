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

    @Override
    String what() {
        return "the read buffer";
    }

    @Override
    void free(long handle) {
        CudaLibrary.freeStaging(handle);
    }
}
