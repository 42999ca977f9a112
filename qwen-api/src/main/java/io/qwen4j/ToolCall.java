package io.qwen4j;

import java.util.Objects;

/**
 * A call of a tool.
 *
 * @param id names the call within its answer, such as {@code call_0}
 * @param name the function's name
 * @param argumentsJson the arguments, a JSON object as text
 */
public record ToolCall(String id, String name, String argumentsJson) {
    /** Checks that nothing is null. */
    public ToolCall {
        Objects.requireNonNull(id, "id");
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(argumentsJson, "argumentsJson");
    }
}
