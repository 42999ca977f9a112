package io.qwen4j.core.chat.jinja;

import java.util.List;

/** What filters such as {@code map} and {@code select} return: true whatever it holds, without a length, and gone once read. */
final class Generated {
    private List<Object> items;

    Generated(List<Object> items) {
        this.items = items;
    }

    List<Object> take() {
        List<Object> taken = items;
        items = List.of();
        return taken;
    }

    /** Takes the first element only. */
    Object next(Object otherwise) {
        if (items.isEmpty()) {
            return otherwise;
        }
        Object first = items.get(0);
        items = items.subList(1, items.size());
        return first;
    }
}
