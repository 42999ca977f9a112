package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** Root of the errors that this library throws. */
public class QwenException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was expected, what was found, where, and what to do
     */
    public QwenException(String message) {
        super(message);
    }

    /**
     * Makes an error with a cause.
     *
     * @param message what was expected, what was found, where, and what to do
     * @param cause what led to it, or null
     */
    public QwenException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
