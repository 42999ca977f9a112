package io.qwen4j.core.chat.jinja;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Names and their values; a name that is not here is looked for outside. */
final class Scope {
    private final @Nullable Scope outer;
    private final Map<String, Object> names = new HashMap<>();

    Scope(@Nullable Scope outer) {
        this.outer = outer;
    }

    Object get(String name) {
        for (Scope scope = this; scope != null; scope = scope.outer) {
            Object value = scope.names.get(name);
            if (value != null || scope.names.containsKey(name)) {
                return value;
            }
        }
        return new Undefined("'" + name + "'");
    }

    void set(String name, Object value) {
        names.put(name, value);
    }
}
