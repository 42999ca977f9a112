package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/** Methods of strings, lists and dictionaries. Those that would change their object are refused, as Python's immutable sandbox does. */
final class Methods {
    private static final Set<String> LIST_CHANGES = Set.of("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort");
    private static final Set<String> DICT_CHANGES = Set.of("clear", "pop", "popitem", "setdefault", "update");

    private Methods() {}

    /** The method of a name, or null if there is none. */
    static @Nullable Function bind(Object value, String name) {
        if (value instanceof Text text) {
            return bindText(text, name);
        }
        if (value instanceof Dict dict) {
            return bindDict(dict, name);
        }
        if (value instanceof Seq seq && seq.indexable()) {
            return bindSeq(seq, name);
        }
        return null;
    }

    private static @Nullable Function bindDict(Dict dict, String name) {
        return switch (name) {
            case "get" -> (e, a) -> {
                a.check(1, "key", "default");
                return dict.get(a.get(0, "key", null), a.get(1, "default", null));
            };
            case "items" -> (e, a) -> {
                a.check(0);
                e.charge(dict.size());
                return new Seq(dict.items(), Seq.Kind.ITEMS);
            };
            case "keys" -> (e, a) -> {
                a.check(0);
                e.charge(dict.size() / 16);
                return new Seq(dict.keys(), Seq.Kind.KEYS);
            };
            case "values" -> (e, a) -> {
                a.check(0);
                e.charge(dict.size() / 16);
                return new Seq(dict.values(), Seq.Kind.VALUES);
            };
            case "copy" -> (e, a) -> {
                a.check(0);
                e.charge(dict.size());
                return new Dict().putAll(dict);
            };
            default -> DICT_CHANGES.contains(name) ? refused(name) : null;
        };
    }

    private static @Nullable Function bindSeq(Seq seq, String name) {
        return switch (name) {
            case "count" -> (e, a) -> {
                a.check(1, "value");
                e.charge(seq.items().size());
                Object wanted = a.get(0, "value", null);
                return seq.items().stream().filter(item -> Values.equal(item, wanted)).count();
            };
            case "index" -> (e, a) -> {
                a.check(1, "value");
                e.charge(seq.items().size());
                for (int i = 0; i < seq.items().size(); i++) {
                    if (Values.equal(seq.items().get(i), a.get(0, "value", null))) {
                        return (long) i;
                    }
                }
                throw new TemplateException("index() in the chat template does not find the value");
            };
            case "copy" -> seq.kind() == Seq.Kind.LIST ? (e, a) -> e.made(Seq.list(new ArrayList<>(seq.items()))) : null;
            default -> seq.kind() == Seq.Kind.LIST && LIST_CHANGES.contains(name) ? refused(name) : null;
        };
    }

    private static Function refused(String name) {
        return (e, a) -> {
            throw new TemplateException("the chat template calls " + name + "(), which would change a value; that is not allowed");
        };
    }

    private static @Nullable Function bindText(Text text, String name) {
        return switch (name) {
            case "strip", "lstrip", "rstrip" -> (e, a) -> {
                Object chars = a.check(0, "chars").get(0, "chars", null);
                String set = chars == null ? null : a.text(0, "chars", null).chars();
                return Strings.strip(text, set, !name.equals("rstrip"), !name.equals("lstrip"));
            };
            case "split", "rsplit" -> (e, a) -> split(e, text, name, a);
            case "splitlines" -> (e, a) -> Seq.list(Strings.lines(text, a.check(0, "keepends").flag(0, "keepends", false)));
            case "partition", "rpartition" -> (e, a) -> partition(text, a.check(1, "sep").text(0, "sep", null), name.equals("rpartition"));
            case "startswith", "endswith" -> (e, a) -> startsOrEnds(text, name, a.check(1, "prefix", "start", "end"));
            case "replace" -> (e, a) -> {
                a.check(2, "old", "new", "count");
                return Strings.replace(e, text, a.text(0, "old", null).chars(), a.text(1, "new", null), a.integer(2, "count", -1));
            };
            case "removeprefix" -> (e, a) -> {
                Text prefix = a.check(1, "prefix").text(0, "prefix", null);
                return text.chars().startsWith(prefix.chars()) ? text.sub(prefix.length(), text.length()) : text;
            };
            case "removesuffix" -> (e, a) -> {
                Text suffix = a.check(1, "suffix").text(0, "suffix", null);
                return text.chars().endsWith(suffix.chars()) ? text.sub(0, text.length() - suffix.length()) : text;
            };
            case "upper" -> (e, a) -> Strings.map(e, text, Strings::upper);
            case "lower", "casefold" -> (e, a) -> Strings.map(e, text, Strings::lower);
            case "capitalize" -> (e, a) -> Strings.capitalize(e, text);
            case "title" -> (e, a) -> Strings.title(e, text, Character::isLetter);
            case "join" -> (e, a) -> join(e, text, a.check(1, "iterable").get(0, "iterable", null));
            case "find", "rfind", "index", "rindex" -> (e, a) -> find(text, name, a.check(1, "sub", "start", "end"));
            case "count" -> (e, a) -> count(text, a.check(1, "sub").text(0, "sub", null).chars());
            case "format" -> (e, a) -> Formatting.braces(e, text, a);
            case "isspace" -> (e, a) -> all(text, c -> c < 0x10000 && Strings.isSpace((char) c));
            case "isdigit", "isdecimal", "isnumeric" -> (e, a) -> all(text, Character::isDigit);
            case "isalpha" -> (e, a) -> all(text, Character::isLetter);
            case "isalnum" -> (e, a) -> all(text, Character::isLetterOrDigit);
            case "isupper" -> (e, a) -> isCase(text, false);
            case "islower" -> (e, a) -> isCase(text, true);
            case "center", "ljust", "rjust" -> (e, a) -> {
                int width = a.check(1, "width", "fillchar").integer(0, "width", 0);
                return Formatting.pad(e, text, width, a.text(1, "fillchar", Text.trusted(" ")), name);
            };
            case "zfill" -> (e, a) -> zeroFill(e, text, a.check(1, "width").integer(0, "width", 0));
            default -> null;
        };
    }

    private static Object split(Evaluation evaluation, Text text, String name, Arguments arguments) {
        arguments.check(0, "sep", "maxsplit");
        Object separator = arguments.get(0, "sep", null);
        String at = separator == null ? null : arguments.text(0, "sep", null).chars();
        int most = arguments.integer(1, "maxsplit", -1);
        evaluation.charge(text.length() / 16);
        return Seq.list(name.equals("split") ? Strings.split(text, at, most) : Strings.rsplit(text, at, most));
    }

    private static Object partition(Text text, Text separator, boolean last) {
        if (separator.isEmpty()) {
            throw new TemplateException("the chat template splits at an empty separator");
        }
        int found = last ? text.chars().lastIndexOf(separator.chars()) : text.chars().indexOf(separator.chars());
        if (found < 0) {
            return Seq.tuple(last ? List.of(Text.EMPTY, Text.EMPTY, text) : List.of(text, Text.EMPTY, Text.EMPTY));
        }
        int end = found + separator.length();
        return Seq.tuple(List.of(text.sub(0, found), text.sub(found, end), text.sub(end, text.length())));
    }

    private static Object startsOrEnds(Text text, String name, Arguments arguments) {
        Text part = (Text) Access.slice(null, text, arguments.get(1, "start", null), arguments.get(2, "end", null), null);
        Object wanted = arguments.get(0, "prefix", null);
        List<Object> candidates = wanted instanceof Seq seq && seq.kind() == Seq.Kind.TUPLE ? seq.items() : java.util.Arrays.asList(wanted);
        for (Object candidate : candidates) {
            if (!(candidate instanceof Text affix)) {
                Values.defined(candidate);
                throw new TemplateException(
                        name + "() in the chat template takes a string or a tuple of strings, found " + Values.typeName(candidate));
            }
            if (name.equals("startswith") ? part.chars().startsWith(affix.chars()) : part.chars().endsWith(affix.chars())) {
                return true;
            }
        }
        return false;
    }

    static Object join(Evaluation evaluation, Text separator, Object items) {
        List<Object> parts = Values.iterate(Values.defined(items));
        evaluation.charge(parts.size() / 16);
        for (Object part : parts) {
            if (!(part instanceof Text)) {
                throw new TemplateException("join() in the chat template takes strings, found " + Values.typeName(part));
            }
        }
        return Strings.join(evaluation, separator, parts);
    }

    private static Object find(Text text, String name, Arguments arguments) {
        String wanted = arguments.text(0, "sub", null).chars();
        int size = text.points();
        Text part = (Text) Access.slice(null, text, arguments.get(1, "start", null), arguments.get(2, "end", null), null);
        int found = name.startsWith("r") ? part.chars().lastIndexOf(wanted) : part.chars().indexOf(wanted);
        if (found < 0) {
            if (name.endsWith("index")) {
                throw new TemplateException(name + "() in the chat template does not find " + Printer.quote(wanted));
            }
            return -1L;
        }
        int start = arguments.get(1, "start", null) == null ? 0 : arguments.integer(1, "start", 0);
        int skipped = start < 0 ? Math.max(0, start + size) : Math.min(start, size);
        return (long) skipped + part.chars().codePointCount(0, found);
    }

    private static Object count(Text text, String wanted) {
        if (wanted.isEmpty()) {
            return text.points() + 1L;
        }
        long count = 0;
        for (int at = text.chars().indexOf(wanted); at >= 0; at = text.chars().indexOf(wanted, at + wanted.length())) {
            count++;
        }
        return count;
    }

    private static boolean all(Text text, IntPredicate holds) {
        return !text.isEmpty() && text.chars().codePoints().allMatch(holds);
    }

    static boolean isCase(Text text, boolean lower) {
        return isCased(text) && text.chars().equals(lower ? Strings.lower(text.chars()) : Strings.upper(text.chars()));
    }

    private static boolean isCased(Text text) {
        return text.chars().codePoints().anyMatch(c -> Character.isUpperCase(c) || Character.isLowerCase(c) || Character.isTitleCase(c));
    }

    private static Object zeroFill(Evaluation evaluation, Text text, int width) {
        Text padded = Formatting.pad(evaluation, text, width, Text.trusted("0"), "rjust");
        boolean signed = !text.isEmpty() && "+-".indexOf(text.chars().charAt(0)) >= 0 && padded != text;
        if (!signed) {
            return padded;
        }
        int zeros = padded.length() - text.length();
        return evaluation.builder().append(text, 0, 1).append(padded, 0, zeros).append(text, 1, text.length()).build();
    }
}
