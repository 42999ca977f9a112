package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.List;
import java.util.Map;

/**
 * The arguments of a call.
 *
 * @param of what is called, for errors
 * @param positional in order
 * @param named by name, in order
 */
record Arguments(String of, List<Object> positional, Map<String, Object> named) {
    static Arguments of(String of, Object... positional) {
        return new Arguments(of, java.util.Arrays.asList(positional), Map.of());
    }

    /** Refuses arguments that no parameter takes. */
    Arguments check(int required, String... parameters) {
        if (positional.size() > parameters.length) {
            throw new TemplateException(
                    of + " in the chat template takes at most " + parameters.length + " arguments, found " + positional.size());
        }
        for (String name : named.keySet()) {
            int index = List.of(parameters).indexOf(name);
            if (index < 0) {
                throw new TemplateException(of + " in the chat template has no parameter " + name);
            }
            if (index < positional.size()) {
                throw new TemplateException(of + " in the chat template got its parameter " + name + " twice");
            }
        }
        for (int i = positional.size(); i < required; i++) {
            if (!named.containsKey(parameters[i])) {
                throw new TemplateException(of + " in the chat template needs its parameter " + parameters[i]);
            }
        }
        return this;
    }

    boolean has(int index, String name) {
        return index < positional.size() || named.containsKey(name);
    }

    Object get(int index, String name, Object otherwise) {
        if (index < positional.size()) {
            return positional.get(index);
        }
        return named.containsKey(name) ? named.get(name) : otherwise;
    }

    boolean flag(int index, String name, boolean otherwise) {
        return has(index, name) ? Values.truth(get(index, name, null)) : otherwise;
    }

    Text text(int index, String name, Text otherwise) {
        Object value = get(index, name, otherwise);
        if (value instanceof Text text) {
            return text;
        }
        throw new TemplateException(of + " in the chat template takes a string as " + name + ", found " + Values.typeName(value));
    }

    int integer(int index, String name, int otherwise) {
        return has(index, name) ? Values.index(get(index, name, null), of) : otherwise;
    }
}
