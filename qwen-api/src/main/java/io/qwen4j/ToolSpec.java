package io.qwen4j;

import java.util.Objects;

/**
 * A tool that the model may call.
 *
 * @param name the function's name
 * @param description what it does
 * @param parametersJsonSchema the JSON schema of its arguments, as JSON text
 */
public record ToolSpec(String name, String description, String parametersJsonSchema) {
    /** Checks that nothing is null and the name not empty. */
    public ToolSpec {
        Objects.requireNonNull(description, "description");
        Objects.requireNonNull(parametersJsonSchema, "parametersJsonSchema");
        if (name.isEmpty()) {
            throw new IllegalArgumentException("the name of a tool is empty");
        }
    }
}
