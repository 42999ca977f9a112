package io.qwen4j.natives;

/** The native side of a CUDA backend: its device, its stream and its scratch memory. */
final class CudaBackend extends NativeResource {
    CudaBackend(int device, boolean fine) {
        super(CudaException.checkValue(CudaLibrary.createBackend(device, fine), "a backend on device " + device));
    }

    @Override
    String what() {
        return "the CUDA backend";
    }

    @Override
    void free(long handle) {
        CudaLibrary.freeBackend(handle);
    }
}
