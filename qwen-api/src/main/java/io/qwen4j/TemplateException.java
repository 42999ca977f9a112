package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** A chat template cannot be rendered: a construct outside the supported subset, a limit, or an error raised by the template. */
public class TemplateException extends QwenException {
    private static final long serialVersionUID = 1;

    /**
     * Makes an error.
     *
     * @param message what was expected, what was found, and what to do
     */
    public TemplateException(String message) {
        super(message);
    }

    /**
     * Makes an error with a cause.
     *
     * @param message what was expected, what was found, and what to do
     * @param cause what led to it, or null
     */
    public TemplateException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
