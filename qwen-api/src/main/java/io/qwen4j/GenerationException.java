package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** The engine failed while it computed a request. */
public class GenerationException extends QwenException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was expected, what was found, and what to do
     */
    public GenerationException(String message) {
        super(message);
    }

    /**
     * Makes an error with a cause.
     *
     * @param message what was expected, what was found, and what to do
     * @param cause what led to it, or null
     */
    public GenerationException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
