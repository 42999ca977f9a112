package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** Python's string methods on {@link Text}; what comes from a conversation stays marked through all of them. */
final class Strings {
    private Strings() {}

    /** Python's {@code str.isspace}. */
    static boolean isSpace(char c) {
        return c == ' '
                || c >= 0x09 && c <= 0x0d
                || c >= 0x1c && c <= 0x1f
                || c == 0x85
                || c == 0xa0
                || c > 0xff && (Character.getType(c) == Character.SPACE_SEPARATOR || c == 0x2028 || c == 0x2029);
    }

    static Text strip(Text text, @Nullable String chars, boolean left, boolean right) {
        String s = text.chars();
        int from = 0;
        int to = s.length();
        while (left && from < to && stripped(s.codePointAt(from), chars)) {
            from += Character.charCount(s.codePointAt(from));
        }
        while (right && to > from && stripped(s.codePointBefore(to), chars)) {
            to -= Character.charCount(s.codePointBefore(to));
        }
        return text.sub(from, to);
    }

    private static boolean stripped(int point, @Nullable String chars) {
        return chars == null ? point < 0x10000 && isSpace((char) point) : chars.indexOf(point) >= 0;
    }

    static List<Object> split(Text text, @Nullable String separator, int most) {
        return separator == null ? splitAtSpace(text, most) : splitAt(text, separator, most);
    }

    private static List<Object> splitAt(Text text, String separator, int most) {
        requireSeparator(separator);
        List<Object> parts = new ArrayList<>();
        int from = 0;
        int found = text.chars().indexOf(separator);
        while (found >= 0 && (most < 0 || parts.size() < most)) {
            parts.add(text.sub(from, found));
            from = found + separator.length();
            found = text.chars().indexOf(separator, from);
        }
        parts.add(text.sub(from, text.length()));
        return parts;
    }

    private static List<Object> splitAtSpace(Text text, int most) {
        List<Object> parts = new ArrayList<>();
        String s = text.chars();
        int at = 0;
        while (true) {
            while (at < s.length() && isSpace(s.charAt(at))) {
                at++;
            }
            if (at == s.length()) {
                return parts;
            }
            if (most >= 0 && parts.size() == most) {
                parts.add(text.sub(at, s.length()));
                return parts;
            }
            int from = at;
            while (at < s.length() && !isSpace(s.charAt(at))) {
                at++;
            }
            parts.add(text.sub(from, at));
        }
    }

    static List<Object> rsplit(Text text, @Nullable String separator, int most) {
        if (most < 0) {
            return split(text, separator, most);
        }
        List<Object> parts = separator == null ? fromEndAtSpace(text, most) : fromEndAt(text, separator, most);
        Collections.reverse(parts);
        return parts;
    }

    private static List<Object> fromEndAt(Text text, String separator, int most) {
        requireSeparator(separator);
        List<Object> parts = new ArrayList<>();
        int to = text.length();
        int found = text.chars().lastIndexOf(separator, to - separator.length());
        while (found >= 0 && parts.size() < most) {
            parts.add(text.sub(found + separator.length(), to));
            to = found;
            found = text.chars().lastIndexOf(separator, to - separator.length());
        }
        parts.add(text.sub(0, to));
        return parts;
    }

    private static List<Object> fromEndAtSpace(Text text, int most) {
        List<Object> parts = new ArrayList<>();
        String s = text.chars();
        int to = s.length();
        while (true) {
            while (to > 0 && isSpace(s.charAt(to - 1))) {
                to--;
            }
            if (to == 0) {
                return parts;
            }
            if (parts.size() == most) {
                parts.add(text.sub(0, to));
                return parts;
            }
            int end = to;
            while (to > 0 && !isSpace(s.charAt(to - 1))) {
                to--;
            }
            parts.add(text.sub(to, end));
        }
    }

    private static void requireSeparator(String separator) {
        if (separator.isEmpty()) {
            throw new TemplateException("the chat template splits at an empty separator");
        }
    }

    /** {@code str.splitlines}. */
    static List<Object> lines(Text text, boolean keepEnds) {
        List<Object> lines = new ArrayList<>();
        String s = text.chars();
        int from = 0;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c >= 0x0a && c <= 0x0d || c >= 0x1c && c <= 0x1e || c == 0x85 || c == 0x2028 || c == 0x2029) {
                int end = i;
                if (c == '\r' && i + 1 < s.length() && s.charAt(i + 1) == '\n') {
                    i++;
                }
                lines.add(text.sub(from, keepEnds ? i + 1 : end));
                from = i + 1;
            }
        }
        if (from < s.length()) {
            lines.add(text.sub(from, s.length()));
        }
        return lines;
    }

    static Text replace(Evaluation evaluation, Text text, String old, Text by, int most) {
        TextBuilder out = evaluation.builder();
        String s = text.chars();
        int from = 0;
        int done = 0;
        int found = s.indexOf(old);
        while (found >= 0 && (most < 0 || done < most)) {
            out.append(text, from, found).append(by);
            from = found + old.length();
            done++;
            if (old.isEmpty()) {
                // Between all code points, and once at the end.
                if (found == s.length()) {
                    break;
                }
                int next = found + Character.charCount(s.codePointAt(found));
                out.append(text, found, next);
                from = next;
                found = next;
            } else {
                found = s.indexOf(old, from);
            }
        }
        return out.append(text, from, s.length()).build();
    }

    static Text join(Evaluation evaluation, Text separator, List<Object> items) {
        TextBuilder out = evaluation.builder();
        boolean first = true;
        for (Object item : items) {
            if (!first) {
                out.append(separator);
            }
            out.append((Text) item);
            first = false;
        }
        return out.build();
    }

    /** Applies a mapping of strings to each stretch of one kind. */
    static Text map(Evaluation evaluation, Text text, UnaryOperator<String> mapping) {
        if (text.runs() < 2) {
            return Text.of(mapping.apply(text.chars()), text.anyPlain());
        }
        TextBuilder out = evaluation.builder();
        for (int run = 0; run < text.runs(); run++) {
            out.append(mapping.apply(text.chars().substring(text.runStart(run), text.runEnd(run))), text.runPlain(run));
        }
        return out.build();
    }

    static String upper(String s) {
        return s.toUpperCase(Locale.ROOT);
    }

    static String lower(String s) {
        return s.toLowerCase(Locale.ROOT);
    }

    /** First character in upper case, the others in lower case. */
    static Text capitalize(Evaluation evaluation, Text text) {
        if (text.isEmpty()) {
            return text;
        }
        int first = text.chars().offsetByCodePoints(0, 1);
        return evaluation
                .builder()
                .append(map(evaluation, text.sub(0, first), Strings::titleCase))
                .append(map(evaluation, text.sub(first, text.length()), Strings::lower))
                .build();
    }

    private static String titleCase(String s) {
        int point = s.codePointAt(0);
        int title = Character.toTitleCase(point);
        // A letter such as U+00DF has no single title case; its upper case is two letters.
        String upper = upper(s);
        return title == point && upper.length() > s.length() ? upper.charAt(0) + lower(upper.substring(1)) : Character.toString(title);
    }

    /** Title case; a word begins wherever the characters before are not of a word. */
    static Text title(Evaluation evaluation, Text text, java.util.function.IntPredicate ofWord) {
        TextBuilder out = evaluation.builder();
        boolean inWord = false;
        String s = text.chars();
        for (int i = 0; i < s.length(); ) {
            int point = s.codePointAt(i);
            int next = i + Character.charCount(point);
            String one = s.substring(i, next);
            out.append(inWord ? lower(one) : titleCase(one), text.plainAt(i));
            inWord = ofWord.test(point);
            i = next;
        }
        return out.build();
    }

    /** What the inside of a string literal means. */
    static String unescape(String s) {
        StringBuilder out = new StringBuilder(s.length());
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c != '\\') {
                out.append(c);
                continue;
            }
            c = s.charAt(++i);
            switch (c) {
                case '\n' -> {}
                case '\\', '\'', '"' -> out.append(c);
                case 'a' -> out.append('\u0007');
                case 'b' -> out.append('\b');
                case 'f' -> out.append('\f');
                case 'n' -> out.append('\n');
                case 'r' -> out.append('\r');
                case 't' -> out.append('\t');
                case 'v' -> out.append('\u000b');
                case 'x', 'u', 'U' -> {
                    int digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
                    if (i + digits >= s.length()) {
                        throw new IllegalArgumentException("a truncated escape \\" + c);
                    }
                    out.appendCodePoint(hex(s.substring(i + 1, i + 1 + digits)));
                    i += digits;
                }
                case 'N' -> throw new IllegalArgumentException("a named character \\N, which is not supported");
                default -> {
                    if (c < '0' || c > '7') {
                        out.append('\\').append(c);
                        break;
                    }
                    int end = i;
                    while (end < s.length() && end < i + 3 && s.charAt(end) >= '0' && s.charAt(end) <= '7') {
                        end++;
                    }
                    out.append((char) Integer.parseInt(s.substring(i, end), 8));
                    i = end - 1;
                }
            }
        }
        return out.toString();
    }

    private static int hex(String digits) {
        if (!digits.chars().allMatch(c -> Character.digit(c, 16) >= 0 && c < 0x80)) {
            throw new IllegalArgumentException("an escape with " + Printer.quote(digits) + " instead of hexadecimal digits");
        }
        long point = Long.parseLong(digits, 16);
        if (point > Character.MAX_CODE_POINT) {
            throw new IllegalArgumentException("an escape beyond U+10FFFF");
        }
        return (int) point;
    }
}
