package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The filters after {@code |}: those on strings and single values here, those on sequences in {@link SequenceFilters}. */
final class Filters {
    /** What a filter makes of a value. */
    @FunctionalInterface
    interface Body {
        Object apply(Evaluation evaluation, Object value, Arguments arguments);
    }

    private Filters() {}

    /** The filter of a name, or null. A switch links only those that a template uses, where a map links all 45 at a first start. */
    static @Nullable Body find(String name) {
        return switch (name) {
            case "tojson" -> JsonWriter::filter;
            case "default", "d" -> Filters::orDefault;
            case "string", "safe" -> (e, v, a) -> Printer.str(e, v);
            case "escape", "e", "forceescape" -> Filters::escape;
            case "upper" -> (e, v, a) -> Strings.map(e, Printer.str(e, v), Strings::upper);
            case "lower" -> (e, v, a) -> Strings.map(e, Printer.str(e, v), Strings::lower);
            case "capitalize" -> (e, v, a) -> Strings.capitalize(e, Printer.str(e, v));
            case "title" -> (e, v, a) -> Strings.title(e, Printer.str(e, v), c -> !isTitleBreak(c));
            case "trim" -> Filters::trim;
            case "replace" -> Filters::replace;
            case "indent" -> Filters::indent;
            case "format" -> Filters::format;
            case "center" -> Filters::center;
            case "truncate" -> Filters::truncate;
            case "wordcount" -> (e, v, a) -> words(Printer.str(e, v));
            case "int" -> Filters::toInteger;
            case "float" -> Filters::toReal;
            case "abs" -> Filters::absolute;
            case "round" -> Filters::round;
            case "attr" -> Filters::attribute;
            default -> SequenceFilters.find(name);
        };
    }

    private static Object center(Evaluation evaluation, Object value, Arguments arguments) {
        int width = arguments.check(0, "width").integer(0, "width", 80);
        return Formatting.pad(evaluation, Printer.str(evaluation, value), width, Text.trusted(" "), "center");
    }

    /** The filter attr finds methods, but not items. */
    private static Object attribute(Evaluation evaluation, Object value, Arguments arguments) {
        String name = arguments.check(1, "name").text(0, "name", null).chars();
        if (!(value instanceof Dict)) {
            return Access.attribute(value, name);
        }
        Function method = Methods.bind(value, name);
        return method == null ? Access.absent(value, name) : method;
    }

    private static Object orDefault(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "default_value", "boolean");
        boolean missing = value instanceof Undefined || arguments.flag(1, "boolean", false) && !Values.truth(value);
        return missing ? arguments.get(0, "default_value", Text.EMPTY) : value;
    }

    private static boolean isTitleBreak(int c) {
        return c < 0x10000 && (Strings.isSpace((char) c) || "-({[<".indexOf(c) >= 0);
    }

    private static Object trim(Evaluation evaluation, Object value, Arguments arguments) {
        Object chars = arguments.check(0, "chars").get(0, "chars", null);
        String set = chars == null ? null : arguments.text(0, "chars", null).chars();
        return Strings.strip(Printer.str(evaluation, value), set, true, true);
    }

    private static Object replace(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(2, "old", "new", "count");
        Text old = Printer.str(evaluation, arguments.get(0, "old", null));
        Text by = Printer.str(evaluation, arguments.get(1, "new", null));
        int most = arguments.get(2, "count", null) == null ? -1 : arguments.integer(2, "count", -1);
        return Strings.replace(evaluation, Printer.str(evaluation, value), old.chars(), by, most);
    }

    private static Object escape(Evaluation evaluation, Object value, Arguments arguments) {
        return Strings.map(
                evaluation,
                Printer.str(evaluation, value),
                s -> s.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;").replace("\"", "&#34;"));
    }

    private static Object indent(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "width", "first", "blank");
        Object width = arguments.get(0, "width", 4L);
        Text unit = width instanceof Text text ? text : spaces(evaluation, Values.index(width, "indent"));
        boolean blank = arguments.flag(2, "blank", false);
        if (!(Values.defined(value) instanceof Text text)) {
            throw new TemplateException("indent in the chat template needs a string, found " + Values.typeName(value));
        }
        TextBuilder out = evaluation.builder();
        if (arguments.flag(1, "first", false)) {
            out.append(unit);
        }
        // The filter adds a line feed before it cuts lines, so that one at the end is kept.
        java.util.List<Object> lines = Strings.lines(evaluation.builder().append(text).append("\n", false).build(), false);
        for (int i = 0; i < lines.size(); i++) {
            Text line = (Text) lines.get(i);
            if (i > 0) {
                out.append("\n", false);
                if (blank || !line.isEmpty()) {
                    out.append(unit);
                }
            }
            out.append(line);
        }
        return out.build();
    }

    private static Text spaces(Evaluation evaluation, int count) {
        return Formatting.pad(evaluation, Text.EMPTY, count, Text.trusted(" "), "ljust");
    }

    private static Object format(Evaluation evaluation, Object value, Arguments arguments) {
        Object values = Seq.tuple(arguments.positional());
        if (!arguments.named().isEmpty()) {
            Dict named = new Dict();
            arguments.named().forEach(named::put);
            values = named;
        }
        return Formatting.percent(evaluation, Printer.str(evaluation, value), values);
    }

    private static Object truncate(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "length", "killwords", "end", "leeway");
        int length = arguments.integer(0, "length", 255);
        Text end = arguments.text(2, "end", Text.trusted("..."));
        int leeway = arguments.get(3, "leeway", null) == null ? 5 : arguments.integer(3, "leeway", 5);
        if (length < end.points() || leeway < 0) {
            throw new TemplateException("truncate in the chat template takes a length of at least that of its end and no negative leeway");
        }
        if (Values.length(value) <= (long) length + leeway) {
            return value;
        }
        if (!(value instanceof Text text)) {
            throw new TemplateException("truncate in the chat template needs a string, found " + Values.typeName(value));
        }
        Text kept = (Text) Access.slice(evaluation, text, null, (long) length - end.points(), null);
        int space = arguments.flag(1, "killwords", false) ? -1 : kept.chars().lastIndexOf(' ');
        return evaluation.builder().append(kept, 0, space < 0 ? kept.length() : space).append(end).build();
    }

    private static Object words(Text text) {
        return Pattern.compile("\\w++", Pattern.UNICODE_CHARACTER_CLASS).matcher(text.chars()).results().count();
    }

    private static Object toInteger(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "default", "base");
        Object otherwise = arguments.get(0, "default", 0L);
        int base = arguments.integer(1, "base", 10);
        if (value instanceof Double real) {
            return real.isNaN() || real.isInfinite() ? otherwise : Numbers.truncate(real);
        }
        if (Numbers.isInteger(value)) {
            return Numbers.small(Numbers.integer(value));
        }
        if (!(value instanceof Text text)) {
            Values.defined(value);
            return otherwise;
        }
        Object whole = Parsing.integer(text.chars(), base);
        if (whole != null) {
            return whole;
        }
        Double real = Parsing.real(text.chars());
        return real == null || real.isNaN() || real.isInfinite() ? otherwise : Numbers.truncate(real);
    }

    private static Object toReal(Evaluation evaluation, Object value, Arguments arguments) {
        Object otherwise = arguments.check(0, "default").get(0, "default", 0.0);
        if (Numbers.isNumber(value)) {
            return Numbers.real(value);
        }
        Double real = Values.defined(value) instanceof Text text ? Parsing.real(text.chars()) : null;
        return real == null ? otherwise : real;
    }

    private static Object absolute(Evaluation evaluation, Object value, Arguments arguments) {
        return Numbers.absolute(number(value, "abs"));
    }

    private static Object number(Object value, String user) {
        if (!Numbers.isNumber(Values.defined(value))) {
            throw new TemplateException(user + " in the chat template needs a number, found " + Values.typeName(value));
        }
        return value;
    }

    private static Object round(Evaluation evaluation, Object value, Arguments arguments) {
        arguments.check(0, "precision", "method");
        int precision = arguments.integer(0, "precision", 0);
        String method = arguments.text(1, "method", Text.trusted("common")).chars();
        number(value, "round");
        if (precision < -300 || precision > 300) {
            throw new TemplateException("round in the chat template takes a precision of -300 to 300, found " + precision);
        }
        return switch (method) {
            case "common" -> Parsing.round(value, precision);
            case "ceil", "floor" -> {
                double scale = Math.pow(10, precision);
                double scaled = Numbers.real(value) * scale;
                yield (method.equals("ceil") ? Math.ceil(scaled) : Math.floor(scaled)) / scale;
            }
            default -> throw new TemplateException(
                    "round in the chat template takes common, ceil or floor, found " + Printer.quote(method));
        };
    }
}
