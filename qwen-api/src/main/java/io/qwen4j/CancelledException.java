package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** A request was cancelled before its answer was complete. */
public class CancelledException extends QwenException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was expected, what was found, and what to do
     */
    public CancelledException(String message) {
        super(message);
    }

    /**
     * Makes an error with a cause.
     *
     * @param message what was expected, what was found, and what to do
     * @param cause what led to it, or null
     */
    public CancelledException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
