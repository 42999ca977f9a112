package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Attributes, items and slices. There is no way from here to an object of the JVM. */
final class Access {
    private Access() {}

    /** {@code value.name}: a method or attribute first, then an item of that name. */
    static Object attribute(Object value, String name) {
        if (value instanceof Namespace || value instanceof LoopState || value instanceof Macro) {
            return internal(value, name);
        }
        Object own = method(value, name);
        if (own != null) {
            return own;
        }
        return value instanceof Dict dict ? dict.get(Text.trusted(name), absent(value, name)) : absent(value, name);
    }

    /** {@code value[key]}: an item first, then an attribute of that name. */
    static Object item(Object value, Object key) {
        Values.defined(value);
        if (value instanceof Dict dict && !(key instanceof Seq) && !(key instanceof Dict) && dict.has(key)) {
            return dict.get(key, null);
        }
        if (Numbers.isInteger(key)) {
            if (value instanceof Seq seq && seq.indexable()) {
                int size = seq.items().size();
                int index = fromEnd(Values.index(key, "an index"), size);
                return index < 0 || index >= size ? missing(key, value) : seq.items().get(index);
            }
            if (value instanceof Text text) {
                int size = text.points();
                int index = fromEnd(Values.index(key, "an index"), size);
                if (index < 0 || index >= size) {
                    return missing(key, value);
                }
                int from = text.chars().offsetByCodePoints(0, index);
                return text.sub(from, text.chars().offsetByCodePoints(from, 1));
            }
        }
        if (key instanceof Text name) {
            if (value instanceof Namespace || value instanceof LoopState || value instanceof Macro) {
                return internal(value, name.chars());
            }
            Object own = method(value, name.chars());
            return own == null ? absent(value, name.chars()) : own;
        }
        return missing(key, value);
    }

    private static int fromEnd(int index, int size) {
        return index < 0 ? index + size : index;
    }

    private static Undefined missing(Object key, Object value) {
        String shown = key == null || Numbers.isNumber(key) ? Printer.scalar(key) : Values.typeName(key);
        return new Undefined("item " + shown + " of " + Values.typeName(value));
    }

    /** Attributes of what only the interpreter makes; their values may be None. */
    private static Object internal(Object value, String name) {
        refuseInternal(name);
        if (value instanceof Namespace namespace) {
            return namespace.attributes.containsKey(name) ? namespace.attributes.get(name) : absent(value, name);
        }
        return value instanceof LoopState loop ? loop.attribute(name) : ((Macro) value).attribute(name);
    }

    private static @Nullable Function method(Object value, String name) {
        Values.defined(value);
        if (value instanceof Dict dict && name.startsWith("__") && dict.has(Text.trusted(name))) {
            return null;
        }
        refuseInternal(name);
        return Methods.bind(value, name);
    }

    private static void refuseInternal(String name) {
        if (name.startsWith("__")) {
            throw new TemplateException("the chat template reads the internal attribute " + name + ", which is not allowed");
        }
    }

    static Undefined absent(Object value, String name) {
        return new Undefined("attribute '" + name + "' of " + Values.typeName(value));
    }

    static Object slice(Evaluation evaluation, Object value, Object start, Object stop, Object step) {
        Values.defined(value);
        int by = step == null ? 1 : Values.index(step, "a slice");
        if (by == 0) {
            throw new TemplateException("a slice in the chat template has step 0");
        }
        if (!(value instanceof Text) && !(value instanceof Seq seq && seq.indexable())) {
            throw new TemplateException("the chat template takes a slice of " + Values.typeName(value));
        }
        int size = (int) Values.length(value);
        int from = start == null ? by > 0 ? 0 : size - 1 : bound(start, size, by);
        int to = stop == null ? by > 0 ? size : -1 : bound(stop, size, by);
        if (value instanceof Text text) {
            return by == 1 ? part(text, from, to) : stepped(evaluation, text, from, to, by);
        }
        List<Object> items = ((Seq) value).items();
        Seq.Kind kind = ((Seq) value).kind();
        if (by == 1) {
            return new Seq(from < to ? items.subList(from, to) : List.of(), kind);
        }
        List<Object> picked = new ArrayList<>();
        for (long i = from; by > 0 ? i < to : i > to; i += by) {
            picked.add(items.get((int) i));
        }
        return new Seq(picked, kind);
    }

    private static int bound(Object value, int size, int by) {
        long index = Values.index(value, "a slice");
        if (index < 0) {
            index += size;
        }
        return (int) Math.max(by > 0 ? 0 : -1, Math.min(by > 0 ? size : size - 1, index));
    }

    private static Text part(Text text, int from, int to) {
        if (from >= to) {
            return Text.EMPTY;
        }
        int begin = text.chars().offsetByCodePoints(0, from);
        return text.sub(begin, text.chars().offsetByCodePoints(begin, to - from));
    }

    private static Text stepped(Evaluation evaluation, Text text, int from, int to, int by) {
        List<Object> points = Values.iterate(text);
        TextBuilder out = evaluation.builder();
        for (long i = from; by > 0 ? i < to : i > to; i += by) {
            out.append((Text) points.get((int) i));
        }
        return out.build();
    }
}
