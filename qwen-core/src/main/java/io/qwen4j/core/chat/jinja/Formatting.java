package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.Collections;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The parts of Python's {@code %} and {@code str.format} that templates use. */
final class Formatting {
    private static final Pattern PERCENT =
            Pattern.compile("%(?:\\(([^)]*+)\\))?([-0+ ]*+)([0-9]{0,5}+)(?:\\.([0-9]{1,3}+))?([a-zA-Z%])");
    private static final Pattern SPEC = Pattern.compile("(?:(.)?([<>^]))?(0?)([0-9]{0,5})(?:\\.([0-9]{1,3}))?([sdfx%]?)", Pattern.DOTALL);

    private Formatting() {}

    /** {@code format % arguments}. */
    static Text percent(Evaluation evaluation, Text format, Object arguments) {
        boolean several = arguments instanceof Seq seq && seq.kind() == Seq.Kind.TUPLE;
        List<Object> values = several ? ((Seq) arguments).items() : Collections.singletonList(arguments);
        TextBuilder out = evaluation.builder();
        Matcher matcher = PERCENT.matcher(format.chars());
        int from = 0;
        int used = 0;
        for (int at = format.chars().indexOf('%'); at >= 0; at = format.chars().indexOf('%', from)) {
            out.append(format, from, at);
            if (!matcher.region(at, format.length()).lookingAt()) {
                throw new TemplateException("a format string of the chat template has an incomplete or unsupported % at character " + at);
            }
            from = matcher.end();
            if (matcher.group(5).equals("%")) {
                out.append("%", false);
                continue;
            }
            Object value;
            if (matcher.group(1) != null) {
                if (!(arguments instanceof Dict dict) || !dict.has(Text.trusted(matcher.group(1)))) {
                    throw new TemplateException("a format string of the chat template needs a dictionary with " + matcher.group(1));
                }
                value = dict.get(Text.trusted(matcher.group(1)), null);
            } else if (used == values.size()) {
                throw new TemplateException("a format string of the chat template needs more than " + used + " arguments");
            } else {
                value = values.get(used++);
            }
            Text piece = percentPiece(evaluation, matcher, value);
            int width = matcher.group(3).isEmpty() ? 0 : Integer.parseInt(matcher.group(3));
            boolean left = matcher.group(2).contains("-");
            boolean zero = matcher.group(2).contains("0") && !left && Numbers.isNumber(value);
            Text blank = Text.trusted(" ");
            out.append(zero ? padNumber(evaluation, piece, width) : pad(evaluation, piece, width, blank, left ? "ljust" : "rjust"));
        }
        // Python minds arguments that are left over only where it cannot take them for a mapping, as it does a list.
        if (used < values.size() && !(arguments instanceof Dict || arguments instanceof Seq seq && seq.kind() != Seq.Kind.TUPLE)) {
            throw new TemplateException("a format string of the chat template uses " + used + " of " + values.size() + " arguments");
        }
        return out.append(format, from, format.length()).build();
    }

    private static Text percentPiece(Evaluation evaluation, Matcher matcher, Object value) {
        String precision = matcher.group(4);
        String kind = matcher.group(5);
        switch (kind) {
            case "s", "r" -> {
                Text text = kind.equals("s") ? Printer.str(evaluation, value) : Printer.repr(evaluation, value);
                return precision == null ? text : (Text) Access.slice(evaluation, text, null, Long.valueOf(precision), null);
            }
            case "d", "i", "u", "x", "f", "F" -> {
                if (!Numbers.isNumber(Values.defined(value))) {
                    throw new TemplateException("%" + kind + " in the chat template needs a number, found " + Values.typeName(value));
                }
                String number = number(kind, precision, value);
                String sign = matcher.group(2).contains("+") ? "+" : matcher.group(2).contains(" ") ? " " : "";
                return Text.trusted(number.startsWith("-") ? number : sign + number);
            }
            default -> throw new TemplateException("%" + kind + " is not supported in chat templates");
        }
    }

    private static String number(String kind, String precision, Object value) {
        if (kind.equalsIgnoreCase("f")) {
            return fixed(Numbers.real(value), precision == null ? 6 : Integer.parseInt(precision));
        }
        Object whole = value instanceof Double real ? Numbers.truncate(real) : value;
        return Numbers.integer(whole).toString(kind.equals("x") ? 16 : 10);
    }

    /** A float with a number of decimals, rounded from its exact value. */
    static String fixed(double value, int decimals) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            return Numbers.repr(value);
        }
        String digits = new BigDecimal(Math.abs(value)).setScale(decimals, RoundingMode.HALF_EVEN).toPlainString();
        return (value < 0 || 1 / value < 0 ? "-" : "") + digits;
    }

    /** {@code format.format(...)} with fields {@code {}}, {@code {0}}, {@code {name}} and a simple format after a colon. */
    static Text braces(Evaluation evaluation, Text format, Arguments arguments) {
        TextBuilder out = evaluation.builder();
        String s = format.chars();
        int next = 0;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            boolean doubled = i + 1 < s.length() && s.charAt(i + 1) == c;
            if (c != '{' && c != '}') {
                out.append(format, i, i + 1);
            } else if (doubled) {
                out.append(format, i, i + 1);
                i++;
            } else {
                int end = c == '{' ? s.indexOf('}', i) : -1;
                if (end < 0) {
                    throw new TemplateException("a format string of the chat template has a single '" + c + "'");
                }
                String field = s.substring(i + 1, end);
                int colon = field.indexOf(':');
                String name = colon < 0 ? field : field.substring(0, colon);
                Object value;
                if (name.isEmpty() || name.chars().allMatch(d -> d >= '0' && d <= '9') && name.length() < 6) {
                    int index = name.isEmpty() ? next++ : Integer.parseInt(name);
                    if (index >= arguments.positional().size()) {
                        throw new TemplateException("a format string of the chat template needs argument " + index);
                    }
                    value = arguments.positional().get(index);
                } else if (arguments.named().containsKey(name)) {
                    value = arguments.named().get(name);
                } else {
                    throw new TemplateException(
                            "a format string of the chat template has the unknown or unsupported field " + Printer.quote(name));
                }
                out.append(formatted(evaluation, value, colon < 0 ? "" : field.substring(colon + 1)));
                i = end;
            }
        }
        return out.build();
    }

    private static Text formatted(Evaluation evaluation, Object value, String spec) {
        Matcher matcher = SPEC.matcher(spec);
        if (!matcher.matches()) {
            throw new TemplateException("the format " + Printer.quote(spec) + " is not supported in chat templates");
        }
        String kind = matcher.group(6);
        String precision = matcher.group(5);
        Text piece;
        if (kind.equals("d") || kind.equals("x") || kind.equals("f")) {
            if (!Numbers.isNumber(Values.defined(value))) {
                throw new TemplateException("the format " + Printer.quote(spec) + " needs a number, found " + Values.typeName(value));
            }
            piece = Text.trusted(number(kind, precision, value));
        } else if (kind.equals("%") && Numbers.isNumber(value)) {
            piece = Text.trusted(fixed(Numbers.real(value) * 100, precision == null ? 6 : Integer.parseInt(precision)) + "%");
        } else {
            piece = Printer.str(evaluation, value);
            if (precision != null) {
                piece = (Text) Access.slice(evaluation, piece, null, Long.valueOf(precision), null);
            }
        }
        int width = matcher.group(4).isEmpty() ? 0 : Integer.parseInt(matcher.group(4));
        boolean number = Numbers.isNumber(value);
        if (!matcher.group(3).isEmpty() && matcher.group(2) == null && number) {
            return padNumber(evaluation, piece, width);
        }
        String align = matcher.group(2) == null ? number ? ">" : "<" : matcher.group(2);
        String fill = matcher.group(1) == null ? " " : matcher.group(1);
        String how = align.equals(">") ? "rjust" : align.equals("<") ? "ljust" : "middle";
        return pad(evaluation, piece, width, Text.trusted(fill), how);
    }

    private static Text padNumber(Evaluation evaluation, Text number, int width) {
        int missing = width - number.length();
        if (missing <= 0) {
            return number;
        }
        int sign = number.chars().startsWith("-") || number.chars().startsWith("+") ? 1 : 0;
        TextBuilder out = evaluation.builder().append(number, 0, sign).append("0".repeat(missing), false);
        return out.append(number, sign, number.length()).build();
    }

    /** Pads to a width: {@code ljust}, {@code rjust}, {@code center} as the method does, {@code middle} as the format {@code ^} does. */
    static Text pad(Evaluation evaluation, Text text, int width, Text fill, String how) {
        int missing = width - text.points();
        if (missing <= 0) {
            return text;
        }
        if (missing > evaluation.limits().characters()) {
            throw new TemplateException("a string made by the chat template exceeds " + evaluation.limits().characters() + " characters");
        }
        int before =
                switch (how) {
                    case "ljust" -> 0;
                    case "rjust" -> missing;
                    // Python's method gives an odd blank to the left only if the width is odd too.
                    case "center" -> missing / 2 + (missing & width & 1);
                    default -> missing / 2;
                };
        TextBuilder out = evaluation.builder();
        for (int i = 0; i < before; i++) {
            out.append(fill);
        }
        out.append(text);
        for (int i = before; i < missing; i++) {
            out.append(fill);
        }
        return out.build();
    }
}
