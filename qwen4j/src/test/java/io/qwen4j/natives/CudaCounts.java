package io.qwen4j.natives;

import io.qwen4j.core.ops.Ops;

/** What the CUDA backend counts, for tests of whole models. */
public final class CudaCounts {
    /** As emulated failures are told: the next recording fails. */
    public static final int RECORDING = CudaException.INTERNAL;

    /** The device is lost. */
    public static final int DEVICE_LOST = CudaException.DEVICE_LOST;

    private CudaCounts() {}

    /** Steps that were recorded. */
    public static long recorded(Ops ops) {
        return ((CudaOps) ops).steps().recorded();
    }

    /** Steps that ran as recorded. */
    public static long replayed(Ops ops) {
        return ((CudaOps) ops).steps().replayed();
    }

    /** How often memory of the device was taken or memory of the host was pinned. */
    public static long allocations() {
        return CudaLibrary.emulatedAllocations();
    }

    /** See {@code qwc_emulate_failure}. */
    public static void fail(long k, int status) {
        CudaLibrary.emulateFailure(k, status);
    }
}
