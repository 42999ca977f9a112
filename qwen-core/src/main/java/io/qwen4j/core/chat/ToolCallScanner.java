package io.qwen4j.core.chat;

import io.qwen4j.core.chat.jinja.Dict;
import org.jspecify.annotations.Nullable;

/**
 * Reads the JSON object of a tool call character by character. It finds the name, and the arguments as they are written; strict, because
 * what is not JSON is no call.
 */
final class ToolCallScanner {
    /** What is known after a character. */
    enum State {
        MORE,
        COMPLETE,
        INVALID
    }

    /** What may come next. */
    private enum Expect {
        OBJECT,
        VALUE,
        FIRST_VALUE,
        FIRST_KEY,
        KEY,
        COLON,
        COMMA,
        STRING,
        ESCAPE,
        UNICODE,
        LITERAL,
        NUMBER,
        NOTHING
    }

    private static final int MAX_DEPTH = 200;

    private final StringBuilder nesting = new StringBuilder();
    private final StringBuilder string = new StringBuilder();
    private final StringBuilder number = new StringBuilder();
    private final StringBuilder arguments = new StringBuilder();
    private Expect expect = Expect.OBJECT;
    private boolean stringIsKey;
    private String literal = "";
    private int literalAt;
    private int unicode;
    private int unicodeDigits;
    /** The key whose value is being read, at depth 1. */
    private String key = "";

    private @Nullable String name;
    private boolean hasArguments;
    /** Whether the arguments are being read: an object as it is, or a string of which the content counts. */
    private boolean inObject;

    private boolean inText;
    private boolean textArguments;

    /** The function's name once it is known. */
    @Nullable String name() {
        return name;
    }

    /** The arguments so far. */
    StringBuilder arguments() {
        return arguments;
    }

    /** Takes a character. */
    State accept(char c) {
        if (expect == Expect.NUMBER) {
            if ("+-.eE0123456789".indexOf(c) >= 0) {
                number.append(c);
                keep(c);
                return State.MORE;
            }
            if (!isNumber(number)) {
                return State.INVALID;
            }
            valueEnded();
        }
        boolean kept = inObject;
        State state = next(c);
        // The first brace of the arguments is theirs as well as the last.
        if (state != State.INVALID && (kept || inObject)) {
            arguments.append(c);
        }
        return state;
    }

    private void keep(char c) {
        if (inObject) {
            arguments.append(c);
        }
    }

    private State next(char c) {
        switch (expect) {
            case STRING -> {
                return inString(c);
            }
            case ESCAPE -> {
                return escape(c);
            }
            case UNICODE -> {
                return unicode(c);
            }
            case LITERAL -> {
                if (c != literal.charAt(literalAt++)) {
                    return State.INVALID;
                }
                if (literalAt == literal.length()) {
                    valueEnded();
                }
                return State.MORE;
            }
            default -> {
                return c == ' ' || c == '\n' || c == '\r' || c == '\t' ? State.MORE : structure(c);
            }
        }
    }

    private State structure(char c) {
        switch (expect) {
            case OBJECT -> {
                return c == '{' ? open(c) : State.INVALID;
            }
            case FIRST_KEY, KEY -> {
                if (c == '"') {
                    return beginString(true);
                }
                return c == '}' && expect == Expect.FIRST_KEY ? close(c) : State.INVALID;
            }
            case COLON -> {
                expect = Expect.VALUE;
                return c == ':' ? State.MORE : State.INVALID;
            }
            case COMMA -> {
                if (c == ',') {
                    expect = top() == '{' ? Expect.KEY : Expect.VALUE;
                    return State.MORE;
                }
                return close(c);
            }
            case FIRST_VALUE, VALUE -> {
                return c == ']' && expect == Expect.FIRST_VALUE ? close(c) : value(c);
            }
            default -> {
                return State.INVALID;
            }
        }
    }

    private char top() {
        return nesting.charAt(nesting.length() - 1);
    }

    private State value(char c) {
        if (nesting.length() == 1 && !fits(c)) {
            return State.INVALID;
        }
        switch (c) {
            case '{', '[' -> {
                return open(c);
            }
            case '"' -> {
                return beginString(false);
            }
            case 't', 'f', 'n' -> {
                literal = c == 't' ? "true" : c == 'f' ? "false" : "null";
                literalAt = 1;
                expect = Expect.LITERAL;
                return State.MORE;
            }
            default -> {
                if (c != '-' && (c < '0' || c > '9')) {
                    return State.INVALID;
                }
                number.setLength(0);
                number.append(c);
                expect = Expect.NUMBER;
                return State.MORE;
            }
        }
    }

    /** Whether a value of the call itself begins as it must; notes where name and arguments begin. */
    private boolean fits(char c) {
        if (key.equals("name")) {
            return c == '"' && name == null;
        }
        if (!key.equals("arguments")) {
            return true;
        }
        if (hasArguments || c != '{' && c != '"' && c != 'n') {
            return false;
        }
        hasArguments = true;
        inObject = c == '{';
        inText = c == '"';
        textArguments = inText;
        return true;
    }

    private State open(char c) {
        if (nesting.length() == MAX_DEPTH) {
            return State.INVALID;
        }
        nesting.append(c);
        expect = c == '{' ? Expect.FIRST_KEY : Expect.FIRST_VALUE;
        return State.MORE;
    }

    private State close(char c) {
        if (c != (top() == '{' ? '}' : ']')) {
            return State.INVALID;
        }
        nesting.setLength(nesting.length() - 1);
        if (nesting.length() > 0) {
            valueEnded();
            return State.MORE;
        }
        expect = Expect.NOTHING;
        return name != null && argumentsAreObject() ? State.COMPLETE : State.INVALID;
    }

    private boolean argumentsAreObject() {
        if (arguments.length() == 0) {
            arguments.append(textArguments ? "" : "{}");
        }
        if (!textArguments) {
            return true;
        }
        try {
            return JsonValues.parse(arguments.toString(), "arguments") instanceof Dict;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    private void valueEnded() {
        expect = Expect.COMMA;
        if (nesting.length() == 1) {
            inObject = false;
            inText = false;
        }
    }

    private State beginString(boolean isKey) {
        string.setLength(0);
        stringIsKey = isKey;
        expect = Expect.STRING;
        return State.MORE;
    }

    private State inString(char c) {
        if (c == '\\') {
            expect = Expect.ESCAPE;
        } else if (c == '"') {
            return endString();
        } else if (c < 0x20) {
            return State.INVALID;
        } else {
            put(c);
        }
        return State.MORE;
    }

    private void put(char c) {
        if (inText) {
            arguments.append(c);
        } else if (nesting.length() == 1) {
            string.append(c);
        }
        expect = Expect.STRING;
    }

    private State escape(char c) {
        int at = "\"\\/bfnrt".indexOf(c);
        if (c == 'u') {
            unicode = 0;
            unicodeDigits = 0;
            expect = Expect.UNICODE;
        } else if (at < 0) {
            return State.INVALID;
        } else {
            put("\"\\/\b\f\n\r\t".charAt(at));
        }
        return State.MORE;
    }

    private State unicode(char c) {
        int digit = c < 0x80 ? Character.digit(c, 16) : -1;
        if (digit < 0) {
            return State.INVALID;
        }
        unicode = unicode * 16 + digit;
        if (++unicodeDigits == 4) {
            put((char) unicode);
        }
        return State.MORE;
    }

    private State endString() {
        if (stringIsKey) {
            if (nesting.length() == 1) {
                key = string.toString();
            }
            expect = Expect.COLON;
            return State.MORE;
        }
        if (nesting.length() == 1 && key.equals("name")) {
            if (string.length() == 0) {
                return State.INVALID;
            }
            name = string.toString();
        }
        valueEnded();
        return State.MORE;
    }

    private static boolean isNumber(CharSequence text) {
        int at = text.charAt(0) == '-' ? 1 : 0;
        int digits = digits(text, at);
        if (digits == 0 || digits > 1 && text.charAt(at) == '0') {
            return false;
        }
        at += digits;
        if (at < text.length() && text.charAt(at) == '.') {
            digits = digits(text, at + 1);
            if (digits == 0) {
                return false;
            }
            at += 1 + digits;
        }
        if (at < text.length() && (text.charAt(at) == 'e' || text.charAt(at) == 'E')) {
            at++;
            if (at < text.length() && (text.charAt(at) == '+' || text.charAt(at) == '-')) {
                at++;
            }
            digits = digits(text, at);
            if (digits == 0) {
                return false;
            }
            at += digits;
        }
        return at == text.length();
    }

    private static int digits(CharSequence text, int from) {
        int at = from;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        return at - from;
    }
}
