package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** Logits are NaN or leave no token to choose. */
public class NumericException extends QwenException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was expected, what was found, and what to do
     */
    public NumericException(String message) {
        super(message);
    }

    /**
     * Makes an error with a cause.
     *
     * @param message what was expected, what was found, and what to do
     * @param cause what led to it, or null
     */
    public NumericException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
