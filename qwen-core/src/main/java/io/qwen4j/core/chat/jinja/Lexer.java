package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Cuts a template into tokens, with {@code trim_blocks} and {@code lstrip_blocks} on as Hugging Face transformers sets them. */
final class Lexer {
    // Possessive: these patterns see hostile text and must not go back over it.
    private static final String DIGITS = "[0-9]++(?:_[0-9]++)*+";
    private static final Pattern FLOAT =
            Pattern.compile(DIGITS + "(?:\\." + DIGITS + "(?:[eE][+-]?[0-9]++)?+|[eE][+-]?[0-9]++)");
    private static final Pattern INTEGER = Pattern.compile(
            "0[bB](?:_?[01])++|0[oO](?:_?[0-7])++|0[xX](?:_?[0-9a-fA-F])++|[1-9](?:_?[0-9])*+|0(?:_?0)*+");
    private static final String[] OPERATORS = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",",
        ";"
    };

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private int at;
    private int line = 1;
    private int lineCounted;
    /** Whether the text at hand begins a line, so that blanks before a tag may be stripped. */
    private boolean lineStart = true;

    private Lexer(String source) {
        this.source = source;
    }

    static List<Token> tokens(String source) {
        String normal = source.replace("\r\n", "\n").replace('\r', '\n');
        Lexer lexer = new Lexer(normal.endsWith("\n") ? normal.substring(0, normal.length() - 1) : normal);
        lexer.run();
        return lexer.tokens;
    }

    private void run() {
        while (at < source.length()) {
            int tag = nextTag();
            if (tag < 0) {
                data(source.substring(at));
                at = source.length();
                break;
            }
            char kind = source.charAt(tag + 1);
            char sign = tag + 2 < source.length() ? source.charAt(tag + 2) : ' ';
            boolean signed = sign == '-' || sign == '+';
            data(stripEnd(source.substring(at, tag), signed ? sign : ' ', kind == '{'));
            at = tag + (signed ? 3 : 2);
            if (kind == '#') {
                comment();
            } else if (kind == '{') {
                add(Token.Kind.VARIABLE_BEGIN, "{{");
                inside(false);
            } else if (!raw()) {
                add(Token.Kind.BLOCK_BEGIN, "{%");
                inside(true);
            }
        }
        add(Token.Kind.END, "");
    }

    private int nextTag() {
        for (int i = source.indexOf('{', at); i >= 0 && i + 1 < source.length(); i = source.indexOf('{', i + 1)) {
            char next = source.charAt(i + 1);
            if (next == '{' || next == '%' || next == '#') {
                return i;
            }
        }
        return -1;
    }

    /** Whitespace control before a tag: '-' strips all, '+' nothing, otherwise the blanks of a line that holds only the tag so far. */
    private String stripEnd(String text, char sign, boolean variable) {
        if (sign == '-') {
            int end = text.length();
            while (end > 0 && Strings.isSpace(text.charAt(end - 1))) {
                end--;
            }
            return text.substring(0, end);
        }
        if (sign != '+' && !variable) {
            int begin = text.lastIndexOf('\n') + 1;
            if ((begin > 0 || lineStart) && begin < text.length() && text.chars().skip(begin).allMatch(c -> Strings.isSpace((char) c))) {
                return text.substring(0, begin);
            }
        }
        return text;
    }

    /** Whitespace control after a tag: '-' strips all, '+' nothing, otherwise one line feed after a block or comment. */
    private void skipAfter(boolean minus, boolean plus, boolean block) {
        if (minus) {
            while (at < source.length() && Strings.isSpace(source.charAt(at))) {
                at++;
            }
        } else if (block && !plus && at < source.length() && source.charAt(at) == '\n') {
            at++;
        }
        lineStart = source.charAt(at - 1) == '\n';
    }

    private void comment() {
        int end = source.indexOf("#}", at);
        if (end < 0) {
            throw error("a comment is not closed");
        }
        char last = end > at ? source.charAt(end - 1) : ' ';
        at = end + 2;
        skipAfter(last == '-', last == '+', true);
    }

    private static final Pattern RAW = Pattern.compile("\\s*+raw\\s*+(-?+)%\\}");
    private static final Pattern END_RAW = Pattern.compile("\\{%([-+]?+)\\s*+endraw\\s*+([-+]?+)%\\}");

    private boolean raw() {
        Matcher begin = RAW.matcher(source).region(at, source.length());
        if (!begin.lookingAt()) {
            return false;
        }
        at = begin.end();
        skipAfter(!begin.group(1).isEmpty(), false, false);
        Matcher end = END_RAW.matcher(source);
        if (!end.find(at)) {
            throw error("a raw block is not closed");
        }
        data(stripEnd(source.substring(at, end.start()), end.group(1).isEmpty() ? ' ' : end.group(1).charAt(0), false));
        at = end.end();
        skipAfter(end.group(2).equals("-"), end.group(2).equals("+"), true);
        return true;
    }

    /** Tokens up to the end of the tag. */
    private void inside(boolean block) {
        String close = block ? "%}" : "}}";
        int open = 0;
        while (true) {
            while (at < source.length() && Strings.isSpace(source.charAt(at))) {
                at++;
            }
            if (at >= source.length()) {
                throw error("a tag is not closed by " + close);
            }
            char c = source.charAt(at);
            boolean sign = c == '-' || c == '+' && block;
            if (open == 0 && (source.startsWith(close, at) || sign && source.startsWith(close, at + 1))) {
                add(block ? Token.Kind.BLOCK_END : Token.Kind.VARIABLE_END, close);
                at += sign ? 3 : 2;
                skipAfter(c == '-', c == '+', block);
                return;
            }
            if (c == '\'' || c == '"') {
                string(c);
            } else if (c >= '0' && c <= '9') {
                number();
            } else if (Character.isUnicodeIdentifierStart(source.codePointAt(at)) || c == '_') {
                name();
            } else {
                String operator = operator();
                open += "([{".contains(operator) ? 1 : ")]}".contains(operator) ? -1 : 0;
                if (open < 0) {
                    throw error("'" + operator + "' closes nothing");
                }
                add(Token.Kind.OPERATOR, operator);
                at += operator.length();
            }
        }
    }

    private String operator() {
        for (String operator : OPERATORS) {
            if (source.startsWith(operator, at)) {
                return operator;
            }
        }
        throw error("unexpected character " + Printer.quote(Character.toString(source.codePointAt(at))));
    }

    private void name() {
        int end = at;
        while (end < source.length()
                && Character.isUnicodeIdentifierPart(source.codePointAt(end))
                && !Character.isIdentifierIgnorable(source.codePointAt(end))) {
            end += Character.charCount(source.codePointAt(end));
        }
        add(Token.Kind.NAME, source.substring(at, end));
        at = end;
    }

    private void number() {
        // The digits after the dot of tuple.0.5 are items, not a fraction.
        boolean afterDot = at > 0 && source.charAt(at - 1) == '.';
        Matcher real = FLOAT.matcher(source).region(at, source.length());
        Matcher whole = INTEGER.matcher(source).region(at, source.length());
        if (!afterDot && real.lookingAt()) {
            add(Token.Kind.FLOAT, real.group().replace("_", ""));
            at = real.end();
        } else if (whole.lookingAt()) {
            add(Token.Kind.INTEGER, whole.group().replace("_", ""));
            at = whole.end();
        } else {
            throw error("a number is malformed");
        }
    }

    private void string(char quote) {
        int end = at + 1;
        while (end < source.length() && source.charAt(end) != quote) {
            end += source.charAt(end) == '\\' ? 2 : 1;
        }
        if (end >= source.length()) {
            throw error("a string is not closed");
        }
        try {
            add(Token.Kind.STRING, Strings.unescape(source.substring(at + 1, end)));
        } catch (IllegalArgumentException e) {
            throw error("a string holds " + e.getMessage());
        }
        at = end + 1;
    }

    private void data(String text) {
        if (!text.isEmpty()) {
            add(Token.Kind.DATA, text);
        }
    }

    private void add(Token.Kind kind, String text) {
        tokens.add(new Token(kind, text, line()));
    }

    private int line() {
        for (; lineCounted < at; lineCounted++) {
            if (source.charAt(lineCounted) == '\n') {
                line++;
            }
        }
        return line;
    }

    private TemplateException error(String what) {
        return new TemplateException("line " + line() + " of the chat template: " + what);
    }
}
