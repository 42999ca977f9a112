package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.List;

/** The variable {@code loop} inside a for block. */
final class LoopState {
    private final List<Object> items;
    private int index;
    private Object changed;
    private boolean changedBefore;

    LoopState(List<Object> items) {
        this.items = items;
    }

    void moveTo(int newIndex) {
        index = newIndex;
    }

    Object attribute(String name) {
        int size = items.size();
        return switch (name) {
            case "index" -> index + 1L;
            case "index0" -> (long) index;
            case "revindex" -> (long) size - index;
            case "revindex0" -> (long) size - index - 1;
            case "first" -> index == 0;
            case "last" -> index == size - 1;
            case "length" -> (long) size;
            // The depth is that of recursive loops, which are not supported.
            case "depth" -> 1L;
            case "depth0" -> 0L;
            case "previtem" -> index == 0 ? new Undefined("the item before the first") : items.get(index - 1);
            case "nextitem" -> index == size - 1 ? new Undefined("the item after the last") : items.get(index + 1);
            case "cycle" -> (Function) this::cycle;
            case "changed" -> (Function) this::changed;
            default -> Access.absent(this, name);
        };
    }

    private Object cycle(Evaluation evaluation, Arguments arguments) {
        if (arguments.positional().isEmpty()) {
            throw new TemplateException("loop.cycle in the chat template needs an argument");
        }
        return arguments.positional().get(index % arguments.positional().size());
    }

    private Object changed(Evaluation evaluation, Arguments arguments) {
        Seq now = Seq.tuple(arguments.positional());
        boolean differs = !changedBefore || !Values.equal(now, changed);
        changed = now;
        changedBefore = true;
        return differs;
    }
}
