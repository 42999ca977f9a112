package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** {@code json.dumps} of Python with its separators and spelling of numbers. */
final class JsonWriter {
    private final StringBuilder out = new StringBuilder();
    private final int limit;
    private final boolean ascii;
    private final @Nullable String indent;
    private final String itemSeparator;
    private final String keySeparator;
    private final boolean sortKeys;
    private boolean plain;

    private JsonWriter(int limit, boolean ascii, @Nullable String indent, String itemSeparator, String keySeparator, boolean sortKeys) {
        this.limit = limit;
        this.ascii = ascii;
        this.indent = indent;
        this.itemSeparator = itemSeparator;
        this.keySeparator = keySeparator;
        this.sortKeys = sortKeys;
    }

    /** The filter {@code tojson}; the text is wholly plain if it holds anything of a conversation. */
    static Text filter(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "ensure_ascii", "indent", "separators", "sort_keys");
        Object indent = arguments.get(1, "indent", null);
        String unit = null;
        if (indent instanceof Text text) {
            unit = text.chars();
        } else if (indent != null) {
            int width = Values.index(indent, "tojson");
            if (width > 100) {
                throw new TemplateException("tojson in the chat template indents by " + width + ", more than 100");
            }
            unit = " ".repeat(Math.max(0, width));
        }
        String item = unit == null ? ", " : ",";
        String key = ": ";
        if (arguments.get(2, "separators", null) instanceof Seq seq) {
            if (seq.items().size() != 2 || !(seq.items().get(0) instanceof Text first) || !(seq.items().get(1) instanceof Text second)) {
                throw new TemplateException("tojson in the chat template takes two strings as separators");
            }
            item = first.chars();
            key = second.chars();
        }
        JsonWriter writer = new JsonWriter(
                evaluation.limits().characters(),
                arguments.flag(0, "ensure_ascii", false),
                unit,
                item,
                key,
                arguments.flag(3, "sort_keys", false));
        writer.write(value, 0);
        return evaluation.made(Text.of(writer.out.toString(), writer.plain));
    }

    private void write(Object value, int depth) {
        if (depth > Values.MAX_NESTING) {
            throw new TemplateException("tojson in the chat template met values nested deeper than " + Values.MAX_NESTING);
        }
        if (out.length() > limit) {
            throw new TemplateException("a string made by the chat template exceeds " + limit + " characters");
        }
        if (value instanceof Text text) {
            plain |= text.anyPlain();
            quote(text.chars());
        } else if (value instanceof Seq seq && (seq.kind() == Seq.Kind.LIST || seq.kind() == Seq.Kind.TUPLE)) {
            writeList(seq.items(), depth);
        } else if (value instanceof Dict dict) {
            writeDict(dict, depth);
        } else if (value == null || Numbers.isNumber(value)) {
            out.append(scalar(value));
        } else {
            Values.defined(value);
            throw new TemplateException("tojson in the chat template cannot write " + Values.typeName(value));
        }
    }

    private static String scalar(Object value) {
        if (value == null) {
            return "null";
        }
        if (value instanceof Boolean flag) {
            return flag ? "true" : "false";
        }
        if (value instanceof Double number && (number.isNaN() || number.isInfinite())) {
            return number.isNaN() ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
        }
        return Printer.scalar(value);
    }

    private void writeList(List<Object> items, int depth) {
        if (items.isEmpty()) {
            out.append("[]");
            return;
        }
        out.append('[');
        for (int i = 0; i < items.size(); i++) {
            out.append(i == 0 ? "" : itemSeparator);
            newLine(depth + 1);
            write(items.get(i), depth + 1);
        }
        newLine(depth);
        out.append(']');
    }

    private void writeDict(Dict dict, int depth) {
        if (dict.size() == 0) {
            out.append("{}");
            return;
        }
        List<Dict.Entry> entries = new ArrayList<>(dict.entries());
        if (sortKeys) {
            entries.sort(Comparator.comparing(Dict.Entry::key, (a, b) -> Values.compare(a, b, "<")));
        }
        out.append('{');
        String between = "";
        for (Dict.Entry entry : entries) {
            out.append(between);
            newLine(depth + 1);
            if (entry.key() instanceof Text text) {
                plain |= text.anyPlain();
                quote(text.chars());
            } else if (entry.key() == null || Numbers.isNumber(entry.key())) {
                out.append('"').append(scalar(entry.key())).append('"');
            } else {
                throw new TemplateException("tojson in the chat template cannot write a key that is " + Values.typeName(entry.key()));
            }
            out.append(keySeparator);
            write(entry.value(), depth + 1);
            between = itemSeparator;
        }
        newLine(depth);
        out.append('}');
    }

    private void newLine(int depth) {
        if (indent != null) {
            out.append('\n').append(indent.repeat(depth));
        }
    }

    private void quote(String chars) {
        out.append('"');
        for (int i = 0; i < chars.length(); i++) {
            char c = chars.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\f' -> out.append("\\f");
                case '\b' -> out.append("\\b");
                default -> {
                    if (c < 0x20 || ascii && c > 0x7e) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }
}
