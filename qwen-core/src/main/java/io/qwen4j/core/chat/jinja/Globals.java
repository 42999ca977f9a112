package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.AbstractList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.RandomAccess;

/** The functions a template finds without defining them. */
final class Globals {
    /** Elements of a range, as Jinja2's sandbox bounds it. */
    private static final long MAX_RANGE = 100_000;

    static final Map<String, Function> ALL = Map.of(
            "range", (e, a) -> range(e, a),
            "namespace", (e, a) -> namespace(a),
            "dict", (e, a) -> dict(a),
            "raise_exception", (e, a) -> raise(e, a),
            "strftime_now", (e, a) -> now(e, a));

    private Globals() {}

    private static Object range(Evaluation evaluation, Arguments arguments) {
        List<Object> given = arguments.positional();
        if (given.isEmpty() || given.size() > 3 || !arguments.named().isEmpty()) {
            throw new TemplateException("range() in the chat template takes one to three integers");
        }
        long start = given.size() == 1 ? 0 : Values.index(given.get(0), "range()");
        long stop = Values.index(given.get(given.size() == 1 ? 0 : 1), "range()");
        long step = given.size() < 3 ? 1 : Values.index(given.get(2), "range()");
        if (step == 0) {
            throw new TemplateException("range() in the chat template has step 0");
        }
        long size = Math.max(0, step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step);
        if (size > MAX_RANGE) {
            throw new TemplateException("range() in the chat template has " + size + " elements, more than " + MAX_RANGE);
        }
        return new Seq(new Range(start, step, (int) size), Seq.Kind.RANGE);
    }

    private static final class Range extends AbstractList<Object> implements RandomAccess {
        private final long start;
        private final long step;
        private final int size;

        Range(long start, long step, int size) {
            this.start = start;
            this.step = step;
            this.size = size;
        }

        @Override
        public Object get(int index) {
            java.util.Objects.checkIndex(index, size);
            return start + step * index;
        }

        @Override
        public int size() {
            return size;
        }
    }

    private static Object namespace(Arguments arguments) {
        Namespace made = new Namespace();
        for (Dict.Entry entry : ((Dict) dict(arguments)).entries()) {
            made.attributes.put(String.valueOf(entry.key()), entry.value());
        }
        return made;
    }

    private static Object dict(Arguments arguments) {
        Dict made = new Dict();
        if (arguments.positional().size() > 1) {
            throw new TemplateException(arguments.of() + "() in the chat template takes at most one argument without a name");
        }
        if (arguments.positional().size() == 1) {
            Object given = arguments.positional().get(0);
            if (given instanceof Dict other) {
                made.putAll(other);
            } else {
                for (Object pair : Values.iterate(Values.defined(given))) {
                    List<Object> parts = Values.iterate(pair);
                    if (parts.size() != 2) {
                        throw new TemplateException(arguments.of() + "() in the chat template needs pairs");
                    }
                    made.put(parts.get(0), parts.get(1));
                }
            }
        }
        arguments.named().forEach(made::put);
        return made;
    }

    private static Object raise(Evaluation evaluation, Arguments arguments) {
        String message = Printer.str(evaluation, arguments.check(1, "message").get(0, "message", null)).chars();
        throw new TemplateException(
                "the chat template refuses the conversation: " + (message.length() > 1000 ? message.substring(0, 1000) + "..." : message));
    }

    private static Object now(Evaluation evaluation, Arguments arguments) {
        String format = arguments.check(1, "format").text(0, "format", null).chars();
        LocalDateTime time = LocalDateTime.now(evaluation.clock());
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < format.length(); i++) {
            char c = format.charAt(i);
            if (c != '%' || i + 1 == format.length()) {
                out.append(c);
            } else {
                i++;
                boolean bare = format.charAt(i) == '-' && i + 1 < format.length();
                i += bare ? 1 : 0;
                String part = part(time, format.charAt(i));
                out.append(bare && part.length() > 1 && part.charAt(0) == '0' ? part.substring(1) : part);
            }
        }
        return Text.trusted(out.toString());
    }

    private static String part(LocalDateTime time, char code) {
        String pattern =
                switch (code) {
                    case 'Y' -> "yyyy";
                    case 'y' -> "yy";
                    case 'm' -> "MM";
                    case 'B' -> "MMMM";
                    case 'b', 'h' -> "MMM";
                    case 'd' -> "dd";
                    case 'j' -> "DDD";
                    case 'A' -> "EEEE";
                    case 'a' -> "EEE";
                    case 'H' -> "HH";
                    case 'I' -> "hh";
                    case 'M' -> "mm";
                    case 'S' -> "ss";
                    case 'f' -> "SSSSSS";
                    case 'p' -> "a";
                    case 'F' -> "yyyy-MM-dd";
                    case 'T', 'X' -> "HH:mm:ss";
                    case 'R' -> "HH:mm";
                    case 'D', 'x' -> "MM/dd/yy";
                    case 'c' -> "EEE MMM ppd HH:mm:ss yyyy";
                    case 'e' -> "ppd";
                    case '%' -> "'%'";
                    case 'Z', 'z' -> "";
                    default -> throw new TemplateException("strftime_now in the chat template: %" + code + " is not supported");
                };
        return pattern.isEmpty() ? "" : time.format(DateTimeFormatter.ofPattern(pattern, Locale.ENGLISH));
    }
}
