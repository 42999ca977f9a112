package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** More requests wait than {@link LoadOptions#queueLimit()} allows. */
public class QueueFullException extends QwenException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was expected, what was found, and what to do
     */
    public QueueFullException(String message) {
        super(message);
    }

    /**
     * Makes an error with a cause.
     *
     * @param message what was expected, what was found, and what to do
     * @param cause what led to it, or null
     */
    public QueueFullException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
