package io.qwen4j.tool;

import org.jspecify.annotations.Nullable;

/** The work cannot be done, for a reason that the message tells: exit status 1. */
final class ToolException extends RuntimeException {
    private static final long serialVersionUID = 1;

    ToolException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }

    ToolException(String message) {
        super(message);
    }
}
