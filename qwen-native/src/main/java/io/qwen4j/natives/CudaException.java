package io.qwen4j.natives;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.DeviceLostException;
import io.qwen4j.InsufficientMemoryException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Turns the status of a function of the CUDA library into an exception. */
final class CudaException {
    private static final int INVALID_ARGUMENT = 1;
    static final int OUT_OF_MEMORY = 2;
    private static final int UNSUPPORTED = 3;
    static final int INTERNAL = 4;
    static final int DEVICE_LOST = 5;
    private static final int MESSAGE_BYTES = 256;

    private CudaException() {}

    /** Returns a number of 0 or more. */
    static long checkNumber(long value, String what) {
        return value == 0 ? 0 : checkValue(value, what);
    }

    /** Returns if {@code status} is 0. */
    static void check(int status, String what) {
        if (status != 0) {
            throw of(status, what);
        }
    }

    /** Returns a handle, number or size above 0. */
    static long checkValue(long value, String what) {
        if (value <= 0) {
            throw of((int) -value, what);
        }
        return value;
    }

    /** Returns a size, which may be 0. */
    static long checkSize(long value, String what) {
        return value == 0 ? 0 : checkValue(value, what);
    }

    private static RuntimeException of(int status, String what) {
        String message = what + ": " + lastError();
        return switch (status) {
            case INVALID_ARGUMENT -> new IllegalArgumentException(message);
            case OUT_OF_MEMORY ->
                new InsufficientMemoryException(message, CudaLibrary.lastErrorBytes(), CudaLibrary.lastErrorAvailable());
            case UNSUPPORTED -> new BackendUnavailableException(message);
            case DEVICE_LOST -> new DeviceLostException(message);
            default -> new IllegalStateException(message);
        };
    }

    static String lastError() {
        ByteBuffer text = ByteBuffer.allocateDirect(MESSAGE_BYTES);
        text.limit(CudaLibrary.lastError(text, MESSAGE_BYTES));
        return StandardCharsets.UTF_8.decode(text).toString();
    }
}
