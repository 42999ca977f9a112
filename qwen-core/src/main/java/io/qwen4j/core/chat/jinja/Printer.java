package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.List;

/** {@code str()} and {@code repr()}: values as Python prints them. */
final class Printer {
    private final TextBuilder out;

    private Printer(Evaluation evaluation) {
        this.out = evaluation.builder();
    }

    /** What printing a value puts out. */
    static Text str(Evaluation evaluation, Object value) {
        if (value instanceof Text text) {
            return text;
        }
        if (value instanceof Undefined) {
            return Text.EMPTY;
        }
        return repr(evaluation, value);
    }

    /** What a value looks like inside a list; wholly plain if it holds anything of a conversation. */
    static Text repr(Evaluation evaluation, Object value) {
        if (value == null || Numbers.isNumber(value)) {
            return Text.trusted(scalar(value));
        }
        Printer printer = new Printer(evaluation);
        printer.write(value, 0);
        Text made = printer.out.build();
        return evaluation.made(made.anyPlain() ? Text.plain(made.chars()) : made);
    }

    static String scalar(Object value) {
        if (value == null) {
            return "None";
        }
        if (value instanceof Boolean flag) {
            return flag ? "True" : "False";
        }
        return value instanceof Double number ? Numbers.repr(number) : value.toString();
    }

    private void write(Object value, int depth) {
        if (depth > Values.MAX_NESTING) {
            throw new TemplateException("the chat template prints values nested deeper than " + Values.MAX_NESTING);
        }
        if (value == null || Numbers.isNumber(value)) {
            put(scalar(value));
        } else if (value instanceof Text text) {
            out.append(quote(text.chars()), text.anyPlain());
        } else if (value instanceof Dict dict) {
            writeDict(dict, depth);
        } else if (value instanceof Seq seq) {
            writeSeq(seq, depth);
        } else if (value instanceof Undefined) {
            put("Undefined");
        } else if (value instanceof Namespace) {
            put("<Namespace>");
        } else {
            throw new TemplateException("the chat template prints " + Values.typeName(value) + ", which has no text");
        }
    }

    private void writeDict(Dict dict, int depth) {
        put("{");
        String between = "";
        for (Dict.Entry entry : dict.entries()) {
            put(between);
            write(entry.key(), depth + 1);
            put(": ");
            write(entry.value(), depth + 1);
            between = ", ";
        }
        put("}");
    }

    private void writeSeq(Seq seq, int depth) {
        List<Object> items = seq.items();
        if (seq.kind() == Seq.Kind.RANGE) {
            throw new TemplateException("the chat template prints a range, which is not supported");
        }
        String before =
                switch (seq.kind()) {
                    case TUPLE -> "(";
                    case KEYS -> "dict_keys([";
                    case VALUES -> "dict_values([";
                    case ITEMS -> "dict_items([";
                    default -> "[";
                };
        put(before);
        for (int i = 0; i < items.size(); i++) {
            put(i == 0 ? "" : ", ");
            write(items.get(i), depth + 1);
        }
        put(seq.kind() == Seq.Kind.TUPLE ? items.size() == 1 ? ",)" : ")" : seq.kind() == Seq.Kind.LIST ? "]" : "])");
    }

    private void put(String piece) {
        out.append(piece, false);
    }

    /** A string literal as Python's repr writes it. */
    static String quote(String chars) {
        char mark = chars.indexOf('\'') >= 0 && chars.indexOf('"') < 0 ? '"' : '\'';
        StringBuilder quoted = new StringBuilder(chars.length() + 2).append(mark);
        chars.codePoints().forEach(c -> {
            if (c == mark || c == '\\') {
                quoted.append('\\').append((char) c);
            } else if (c == '\n') {
                quoted.append("\\n");
            } else if (c == '\r') {
                quoted.append("\\r");
            } else if (c == '\t') {
                quoted.append("\\t");
            } else if (c == ' ' || isPrintable(c)) {
                quoted.appendCodePoint(c);
            } else {
                quoted.append(String.format(c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c));
            }
        });
        return quoted.append(mark).toString();
    }

    private static boolean isPrintable(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR,
                    Character.SPACE_SEPARATOR -> false;
            default -> true;
        };
    }
}
