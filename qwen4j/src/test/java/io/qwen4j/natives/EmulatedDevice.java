package io.qwen4j.natives;

/** The emulated CUDA device in the hands of tests. */
public final class EmulatedDevice {
    private static final int CAPABILITY = 90;

    private EmulatedDevice() {}

    /** Gives the device so much memory, from now on. */
    public static void resize(long bytes) {
        CudaLibrary.emulateDevices(1, CAPABILITY, bytes);
    }

    /** As it is at the start: one device with 4 GiB, which does not fail. */
    public static void reset() {
        CudaLibrary.emulateFailure(0, 0);
        resize(4L << 30);
    }

    /** Lets the k-th allocation from now on fail, once. */
    public static void failAllocation(long k) {
        CudaLibrary.emulateFailure(k, CudaException.OUT_OF_MEMORY);
    }

    /** Lets the device be lost at the k-th call from now on. */
    public static void loseAt(long k) {
        CudaLibrary.emulateFailure(k, CudaException.DEVICE_LOST);
    }

    /** Bytes that are taken. */
    public static long takenBytes() {
        return CudaLibrary.emulatedBytes();
    }

    /** Native objects that were not freed. */
    public static long liveObjects() {
        return CudaLibrary.liveObjects();
    }

    /** How often memory was given back that was not taken, since this was last asked. */
    public static long faults() {
        return CudaLibrary.emulatedFaults();
    }
}
