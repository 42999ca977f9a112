package io.qwen4j.core.chat.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Parses expressions with Jinja2's precedence. */
class ExpressionParser extends TokenReader {
    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");

    ExpressionParser(List<Token> tokens, JinjaLimits limits) {
        super(tokens, limits);
    }

    /** Expressions separated by commas make a tuple. */
    final Expr tuple(boolean conditional) {
        Expr first = conditional ? expression() : or();
        if (!peek().isOperator(",")) {
            return first;
        }
        List<Expr> items = new ArrayList<>(List.of(first));
        while (skipOperator(",") && !endsTuple()) {
            items.add(conditional ? expression() : or());
        }
        return new Expr.Sequence(items, true);
    }

    private boolean endsTuple() {
        Token token = peek();
        boolean tagEnds = token.kind() == Token.Kind.VARIABLE_END || token.kind() == Token.Kind.BLOCK_END;
        return tagEnds || token.isOperator(")") || token.isName("in");
    }

    final Expr expression() {
        enter();
        Expr value = or();
        while (skipName("if")) {
            Expr condition = or();
            value = new Expr.Conditional(condition, value, skipName("else") ? expression() : null);
        }
        leave();
        return value;
    }

    final Expr or() {
        Expr left = and();
        while (skipName("or")) {
            left = new Expr.Logical(false, left, and());
        }
        return left;
    }

    private Expr and() {
        Expr left = not();
        while (skipName("and")) {
            left = new Expr.Logical(true, left, not());
        }
        return left;
    }

    private Expr not() {
        if (!skipName("not")) {
            return comparison();
        }
        enter();
        Expr operand = not();
        leave();
        return new Expr.Unary("not", operand);
    }

    private Expr comparison() {
        Expr first = binary(0);
        List<String> operators = new ArrayList<>();
        List<Expr> operands = new ArrayList<>();
        while (true) {
            Token token = peek();
            if (token.kind() == Token.Kind.OPERATOR && COMPARISONS.contains(token.text())) {
                operators.add(next().text());
            } else if (skipName("in")) {
                operators.add("in");
            } else if (token.isName("not") && peekSecond().isName("in")) {
                next();
                next();
                operators.add("not in");
            } else {
                return operators.isEmpty() ? first : new Expr.Comparison(first, operators, operands);
            }
            operands.add(binary(0));
        }
    }

    private static final List<Set<String>> LEVELS =
            List.of(Set.of("+", "-"), Set.of("~"), Set.of("*", "/", "//", "%"), Set.of("**"));

    private Expr binary(int level) {
        if (level == LEVELS.size()) {
            return unary(true);
        }
        Expr left = binary(level + 1);
        if (level == 1 && peek().isOperator("~")) {
            List<Expr> operands = new ArrayList<>(List.of(left));
            while (skipOperator("~")) {
                operands.add(binary(level + 1));
            }
            return new Expr.Concatenation(operands);
        }
        while (peek().kind() == Token.Kind.OPERATOR && LEVELS.get(level).contains(peek().text())) {
            left = new Expr.Binary(next().text(), left, binary(level + 1));
        }
        return left;
    }

    final Expr unary(boolean withFilters) {
        Expr value;
        if (peek().isOperator("-") || peek().isOperator("+")) {
            enter();
            value = new Expr.Unary(next().text(), unary(false));
            leave();
        } else {
            value = primary();
        }
        value = postfix(value);
        return withFilters ? filtersAndTests(value) : value;
    }

    private Expr primary() {
        Token token = peek();
        switch (token.kind()) {
            case NAME -> {
                next();
                return switch (token.text()) {
                    case "true", "True" -> new Expr.Constant(true);
                    case "false", "False" -> new Expr.Constant(false);
                    case "none", "None" -> new Expr.Constant(null);
                    default -> new Expr.Name(token.text());
                };
            }
            case STRING -> {
                StringBuilder joined = new StringBuilder();
                while (peek().kind() == Token.Kind.STRING) {
                    joined.append(next().text());
                }
                return new Expr.Constant(Text.trusted(joined.toString()));
            }
            case INTEGER -> {
                next();
                return new Expr.Constant(integer(token.text()));
            }
            case FLOAT -> {
                next();
                return new Expr.Constant(Double.valueOf(token.text()));
            }
            default -> {
                if (skipOperator("(")) {
                    return parenthesised();
                }
                if (skipOperator("[")) {
                    return list();
                }
                if (skipOperator("{")) {
                    return dictionary();
                }
                throw unexpected("an expression");
            }
        }
    }

    private Object integer(String text) {
        if (text.length() > 4300) {
            throw error("a number has more than 4300 digits");
        }
        String prefix = text.length() > 1 ? Strings.lower(text.substring(0, 2)) : "";
        int radix = prefix.equals("0x") ? 16 : prefix.equals("0o") ? 8 : prefix.equals("0b") ? 2 : 10;
        return Numbers.small(new BigInteger(radix == 10 ? text : text.substring(2), radix));
    }

    private Expr parenthesised() {
        enter();
        if (skipOperator(")")) {
            leave();
            return new Expr.Sequence(List.of(), true);
        }
        Expr value = tuple(true);
        expectOperator(")");
        leave();
        return value;
    }

    private Expr list() {
        enter();
        List<Expr> items = new ArrayList<>();
        while (!skipOperator("]")) {
            items.add(expression());
            if (!peek().isOperator("]")) {
                expectOperator(",");
            }
        }
        leave();
        return new Expr.Sequence(items, false);
    }

    private Expr dictionary() {
        enter();
        List<Expr> items = new ArrayList<>();
        while (!skipOperator("}")) {
            items.add(expression());
            expectOperator(":");
            items.add(expression());
            if (!peek().isOperator("}")) {
                expectOperator(",");
            }
        }
        leave();
        return new Expr.Dictionary(items);
    }

    private Expr postfix(Expr target) {
        Expr value = target;
        while (true) {
            if (skipOperator(".")) {
                if (peek().kind() == Token.Kind.INTEGER) {
                    value = new Expr.Item(value, new Expr.Constant(integer(next().text())));
                } else {
                    value = new Expr.Attribute(value, attribute());
                }
            } else if (skipOperator("[")) {
                value = subscript(value);
            } else if (peek().isOperator("(")) {
                value = new Expr.Call(value, arguments());
            } else {
                return value;
            }
        }
    }

    private String attribute() {
        String name = expectName();
        if (name.startsWith("__")) {
            throw error("the internal attribute " + name + " is not allowed");
        }
        return name;
    }

    private Expr subscript(Expr target) {
        enter();
        Expr[] parts = new Expr[3];
        int colons = 0;
        boolean several = false;
        while (!peek().isOperator("]")) {
            if (skipOperator(":")) {
                if (++colons > 2) {
                    throw error("a slice has more than two colons");
                }
            } else if (parts[colons] == null) {
                parts[colons] = colons == 0 ? tuple(true) : expression();
            } else {
                several = true;
                break;
            }
        }
        if (several || colons == 0 && parts[0] == null) {
            throw unexpected("']'");
        }
        expectOperator("]");
        leave();
        return colons == 0 ? new Expr.Item(target, parts[0]) : new Expr.Slice(target, parts[0], parts[1], parts[2]);
    }

    final Expr.CallArguments arguments() {
        expectOperator("(");
        enter();
        List<Expr> positional = new ArrayList<>();
        Map<String, Expr> named = new LinkedHashMap<>();
        Expr rest = null;
        Expr namedRest = null;
        while (!skipOperator(")")) {
            if (skipOperator("**")) {
                require(namedRest == null);
                namedRest = expression();
            } else if (skipOperator("*")) {
                require(rest == null && namedRest == null);
                rest = expression();
            } else if (peek().kind() == Token.Kind.NAME && peekSecond().isOperator("=")) {
                require(namedRest == null);
                String name = next().text();
                next();
                if (named.put(name, expression()) != null) {
                    throw error("the argument " + name + " is given twice");
                }
            } else {
                require(named.isEmpty() && rest == null && namedRest == null);
                positional.add(expression());
            }
            if (!peek().isOperator(")")) {
                expectOperator(",");
            }
        }
        leave();
        return new Expr.CallArguments(positional, named, rest, namedRest);
    }

    private void require(boolean inOrder) {
        if (!inOrder) {
            throw error("the arguments of a call are out of order");
        }
    }

    private Expr filtersAndTests(Expr target) {
        Expr value = target;
        while (true) {
            if (peek().isOperator("|")) {
                value = filters(value);
            } else if (skipName("is")) {
                value = test(value);
            } else if (peek().isOperator("(")) {
                value = new Expr.Call(value, arguments());
            } else {
                return value;
            }
        }
    }

    /** Filters, each after a bar. */
    final Expr filters(Expr input) {
        Expr value = input;
        while (skipOperator("|")) {
            value = filter(value);
        }
        return value;
    }

    final Expr filter(Expr input) {
        String name = dottedName();
        Filters.Body body = Filters.find(name);
        if (body == null) {
            throw error("the filter " + Printer.quote(name) + " is not supported");
        }
        return new Expr.Filter(name, body, input, peek().isOperator("(") ? arguments() : Expr.CallArguments.NONE);
    }

    private String dottedName() {
        StringBuilder name = new StringBuilder(expectName());
        while (skipOperator(".")) {
            name.append('.').append(expectName());
        }
        return name.toString();
    }

    private Expr test(Expr input) {
        boolean negated = skipName("not");
        String name = dottedName();
        Tests.Body body = Tests.find(name);
        if (body == null) {
            throw error("the test " + Printer.quote(name) + " is not supported");
        }
        Expr.CallArguments arguments = Expr.CallArguments.NONE;
        if (peek().isOperator("(")) {
            arguments = arguments();
        } else if (beginsOperand(peek())) {
            if (peek().isName("is")) {
                throw error("tests cannot be chained");
            }
            enter();
            arguments = new Expr.CallArguments(List.of(postfix(primary())), Map.of(), null, null);
            leave();
        }
        Expr value = new Expr.Test(name, body, input, arguments);
        return negated ? new Expr.Unary("not", value) : value;
    }

    private static boolean beginsOperand(Token token) {
        return switch (token.kind()) {
            case STRING, INTEGER, FLOAT -> true;
            case NAME -> !Set.of("else", "or", "and", "if", "in").contains(token.text());
            case OPERATOR -> token.isOperator("[") || token.isOperator("{");
            default -> false;
        };
    }
}
