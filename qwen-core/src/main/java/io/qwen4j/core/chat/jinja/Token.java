package io.qwen4j.core.chat.jinja;

/**
 * A piece of a template's source.
 *
 * @param kind what it is
 * @param text the characters: of data and strings what they mean, of others what is written
 * @param line line of its begin, from 1
 */
record Token(Kind kind, String text, int line) {
    enum Kind {
        DATA,
        VARIABLE_BEGIN,
        VARIABLE_END,
        BLOCK_BEGIN,
        BLOCK_END,
        NAME,
        STRING,
        INTEGER,
        FLOAT,
        OPERATOR,
        END
    }

    boolean isOperator(String operator) {
        return kind == Kind.OPERATOR && text.equals(operator);
    }

    boolean isName(String name) {
        return kind == Kind.NAME && text.equals(name);
    }
}
