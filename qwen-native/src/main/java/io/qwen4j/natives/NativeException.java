package io.qwen4j.natives;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.InsufficientMemoryException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Turns the status of a native function into an exception. */
final class NativeException {
    private static final int OUT_OF_MEMORY = 2;
    private static final int UNSUPPORTED = 3;
    private static final int INVALID_ARGUMENT = 1;
    private static final int MESSAGE_BYTES = 256;

    private NativeException() {}

    /** Returns if {@code status} is 0. */
    static void check(int status, String what) {
        if (status != 0) {
            throw of(status, what);
        }
    }

    /** Returns a handle or size above 0. */
    static long checkValue(long value, String what) {
        if (value <= 0) {
            throw of((int) -value, what);
        }
        return value;
    }

    private static RuntimeException of(int status, String what) {
        String message = what + ": " + lastError();
        return switch (status) {
            case INVALID_ARGUMENT -> new IllegalArgumentException(message);
            case OUT_OF_MEMORY -> new InsufficientMemoryException(message, NativeLibrary.lastErrorBytes(), -1);
            case UNSUPPORTED -> new BackendUnavailableException(message);
            default -> new IllegalStateException(message);
        };
    }

    private static String lastError() {
        ByteBuffer text = ByteBuffer.allocateDirect(MESSAGE_BYTES);
        text.limit(NativeLibrary.lastError(text, MESSAGE_BYTES));
        return StandardCharsets.UTF_8.decode(text).toString();
    }
}
