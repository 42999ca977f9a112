package io.qwen4j.core.chat.jinja;

import java.util.List;

/**
 * A list, tuple, range or view of a dictionary. Never changed once made.
 *
 * @param items the elements
 * @param kind what it is to Python
 */
public record Seq(List<Object> items, Kind kind) {
    enum Kind {
        LIST,
        TUPLE,
        RANGE,
        KEYS,
        VALUES,
        ITEMS
    }

    /** A list. */
    public static Seq list(List<Object> items) {
        return new Seq(items, Kind.LIST);
    }

    static Seq tuple(List<Object> items) {
        return new Seq(items, Kind.TUPLE);
    }

    static Seq pair(Object first, Object second) {
        return tuple(java.util.Arrays.asList(first, second));
    }

    boolean indexable() {
        return kind == Kind.LIST || kind == Kind.TUPLE || kind == Kind.RANGE;
    }

    boolean isView() {
        return kind == Kind.KEYS || kind == Kind.VALUES || kind == Kind.ITEMS;
    }
}
