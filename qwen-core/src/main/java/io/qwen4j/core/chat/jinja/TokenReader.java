package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.List;

/** Reads tokens one after the other, and counts how deep what they make is nested. */
class TokenReader {
    private final List<Token> tokens;
    private final JinjaLimits limits;
    private int at;
    private int nesting;

    TokenReader(List<Token> tokens, JinjaLimits limits) {
        this.tokens = tokens;
        this.limits = limits;
    }

    final Token peek() {
        return tokens.get(at);
    }

    /** The token after the next, which is there for every token but the last. */
    final Token peekSecond() {
        return tokens.get(Math.min(at + 1, tokens.size() - 1));
    }

    final Token next() {
        Token token = tokens.get(at);
        if (token.kind() != Token.Kind.END) {
            at++;
        }
        return token;
    }

    final boolean skipOperator(String operator) {
        boolean found = peek().isOperator(operator);
        if (found) {
            at++;
        }
        return found;
    }

    final boolean skipName(String name) {
        boolean found = peek().isName(name);
        if (found) {
            at++;
        }
        return found;
    }

    final void expectOperator(String operator) {
        if (!skipOperator(operator)) {
            throw unexpected("'" + operator + "'");
        }
    }

    final String expectName() {
        if (peek().kind() != Token.Kind.NAME) {
            throw unexpected("a name");
        }
        return next().text();
    }

    final TemplateException unexpected(String expected) {
        Token token = peek();
        String found = token.kind() == Token.Kind.END ? "the end of the template" : Printer.quote(shortened(token.text()));
        return error("expected " + expected + ", found " + found);
    }

    private static String shortened(String text) {
        return text.length() > 40 ? text.substring(0, 40) + "..." : text;
    }

    final TemplateException error(String what) {
        return new TemplateException("line " + peek().line() + " of the chat template: " + what);
    }

    /** Counts nesting in the source, so that parsing needs a bounded stack. */
    final void enter() {
        if (++nesting > limits.nesting()) {
            throw error("blocks and expressions are nested deeper than " + limits.nesting() + " levels");
        }
    }

    final void leave() {
        nesting--;
    }
}
