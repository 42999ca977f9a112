package io.qwen4j.tool;

import org.jspecify.annotations.Nullable;

/**
 * An option of a command.
 *
 * @param name with its dashes, such as {@code --seed}
 * @param value what its value is called in the help; null for a switch
 * @param help what it does, in one line
 */
record Option(String name, @Nullable String value, String help) {
    static Option flag(String name, String help) {
        return new Option(name, null, help);
    }

    static Option value(String name, String value, String help) {
        return new Option(name, value, help);
    }

    String usage() {
        return value == null ? name : name + " " + value;
    }
}
