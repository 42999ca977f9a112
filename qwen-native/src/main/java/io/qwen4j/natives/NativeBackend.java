package io.qwen4j.natives;

/** The native side of a backend: its threads and its scratch memory. */
final class NativeBackend extends NativeResource {
    NativeBackend(int target, int threads, boolean fine) {
        super(NativeException.checkValue(NativeLibrary.createBackend(target, threads, fine), "a backend of " + threads + " threads"));
    }

    @Override
    String what() {
        return "the CPU backend";
    }

    @Override
    void free(long handle) {
        NativeLibrary.freeBackend(handle);
    }
}
