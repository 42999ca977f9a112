package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** A backend was asked for that does not work on this machine. */
public class BackendUnavailableException extends QwenException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was expected, what was found, and what to do
     */
    public BackendUnavailableException(String message) {
        super(message);
    }

    /**
     * Makes an error with a cause.
     *
     * @param message what was expected, what was found, and what to do
     * @param cause what led to it, or null
     */
    public BackendUnavailableException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
