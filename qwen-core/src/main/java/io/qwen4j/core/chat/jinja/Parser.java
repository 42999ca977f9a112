package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Parses the statements of a template. */
final class Parser extends ExpressionParser {
    /** The variable from which the filter of a block reads the block's output; no template can write this name. */
    static final String CAPTURED = " captured";

    private static final Set<String> REFUSED =
            Set.of("include", "import", "from", "extends", "block", "do", "autoescape", "trans", "debug");

    private int loops;

    private Parser(List<Token> tokens, JinjaLimits limits) {
        super(tokens, limits);
    }

    static List<Statement> parse(List<Token> tokens, JinjaLimits limits) {
        return new Parser(tokens, limits).template();
    }

    private List<Statement> template() {
        List<Statement> body = body(Set.of());
        if (peek().kind() != Token.Kind.END) {
            throw error("unexpected tag " + Printer.quote(peek().text()));
        }
        return body;
    }

    /** Statements up to one of some tags, of which the name is read. */
    private List<Statement> body(Set<String> ends) {
        enter();
        List<Statement> body = new ArrayList<>();
        while (true) {
            Token token = peek();
            if (token.kind() == Token.Kind.END) {
                if (!ends.isEmpty()) {
                    throw error("a block is not closed, expected " + String.join(" or ", ends.stream().sorted().toList()));
                }
                break;
            }
            next();
            if (token.kind() == Token.Kind.DATA) {
                body.add(new Statement.Data(Text.trusted(token.text())));
            } else if (token.kind() == Token.Kind.VARIABLE_BEGIN) {
                body.add(new Statement.Print(tuple(true)));
                if (next().kind() != Token.Kind.VARIABLE_END) {
                    throw error("expected '}}' after an expression");
                }
            } else {
                if (peek().kind() == Token.Kind.NAME && ends.contains(peek().text())) {
                    break;
                }
                body.add(statement());
            }
        }
        leave();
        return List.copyOf(body);
    }

    private void endTag() {
        if (peek().kind() != Token.Kind.BLOCK_END) {
            throw unexpected("'%}'");
        }
        next();
    }

    private List<Statement> closedBody(String end) {
        endTag();
        List<Statement> body = body(Set.of(end));
        next();
        endTag();
        return body;
    }

    private Statement statement() {
        TemplateException unknown = error("the tag " + Printer.quote(peek().text()) + " is not supported");
        String name = expectName();
        switch (name) {
            case "if" -> {
                return ifBlock();
            }
            case "for" -> {
                return forBlock();
            }
            case "set" -> {
                return set();
            }
            case "macro" -> {
                return macro();
            }
            case "call" -> {
                return call();
            }
            case "filter" -> {
                Expr filter = filters(filter(new Expr.Name(CAPTURED)));
                return new Statement.FilterBlock(filter, closedBody("endfilter"));
            }
            case "with" -> {
                return with();
            }
            case "generation" -> {
                return new Statement.With(List.of(), List.of(), closedBody("endgeneration"));
            }
            case "print" -> {
                Statement print = new Statement.Print(tuple(true));
                endTag();
                return print;
            }
            case "break", "continue" -> {
                if (loops == 0) {
                    throw error(name + " outside of a loop");
                }
                endTag();
                return new Statement.Jump(name.equals("break") ? Statement.Flow.BREAK : Statement.Flow.CONTINUE);
            }
            default -> throw REFUSED.contains(name)
                    ? error("the tag " + Printer.quote(name) + " is not part of the supported subset of Jinja")
                    : unknown;
        }
    }

    private Statement ifBlock() {
        List<Expr> conditions = new ArrayList<>();
        List<List<Statement>> bodies = new ArrayList<>();
        List<Statement> otherwise = List.of();
        String tag = "elif";
        while (tag.equals("elif")) {
            conditions.add(tuple(true));
            endTag();
            bodies.add(body(Set.of("elif", "else", "endif")));
            tag = next().text();
        }
        if (tag.equals("else")) {
            otherwise = closedBody("endif");
        } else {
            endTag();
        }
        return new Statement.If(List.copyOf(conditions), List.copyOf(bodies), otherwise);
    }

    private Statement forBlock() {
        Target target = target();
        if (!skipName("in")) {
            throw unexpected("'in'");
        }
        Expr over = tuple(false);
        Expr filter = skipName("if") ? expression() : null;
        if (peek().isName("recursive")) {
            throw error("recursive loops are not part of the supported subset of Jinja");
        }
        endTag();
        loops++;
        List<Statement> body = body(Set.of("else", "endfor"));
        loops--;
        List<Statement> otherwise = List.of();
        if (next().text().equals("else")) {
            otherwise = closedBody("endfor");
        } else {
            endTag();
        }
        return new Statement.For(target, over, filter, body, otherwise);
    }

    private Statement set() {
        Target target = target();
        if (skipOperator("=")) {
            Statement assign = new Statement.Assign(target, tuple(true));
            endTag();
            return assign;
        }
        Expr filter = peek().isOperator("|") ? filters(new Expr.Name(CAPTURED)) : null;
        return new Statement.AssignBlock(target, filter, closedBody("endset"));
    }

    /** A target, or several separated by commas. */
    private Target target() {
        Target first = singleTarget();
        if (!peek().isOperator(",")) {
            return first;
        }
        List<Target> targets = new ArrayList<>(List.of(first));
        while (skipOperator(",")) {
            if (peek().kind() != Token.Kind.NAME && !peek().isOperator("(") || peek().isName("in")) {
                break;
            }
            targets.add(singleTarget());
        }
        return new Target.Several(List.copyOf(targets));
    }

    private Target singleTarget() {
        if (skipOperator("(")) {
            enter();
            Target inner = target();
            expectOperator(")");
            leave();
            return inner;
        }
        String name = variable();
        return skipOperator(".") ? new Target.Attribute(name, expectName()) : new Target.Variable(name);
    }

    private String variable() {
        String name = expectName();
        if (Set.of("true", "false", "none", "True", "False", "None").contains(name)) {
            throw error(name + " is not a variable");
        }
        return name;
    }

    private Statement macro() {
        List<String> parameters = new ArrayList<>();
        List<Expr> defaults = new ArrayList<>();
        String name = variable();
        signature(parameters, defaults);
        return new Statement.DefineMacro(definition(name, parameters, defaults, "endmacro"));
    }

    private Statement call() {
        List<String> parameters = new ArrayList<>();
        List<Expr> defaults = new ArrayList<>();
        if (peek().isOperator("(")) {
            signature(parameters, defaults);
        }
        if (!(unary(true) instanceof Expr.Call call)) {
            throw error("a call block needs a call of a macro");
        }
        return new Statement.CallBlock(definition("caller", parameters, defaults, "endcall"), call);
    }

    private Macro.Definition definition(String name, List<String> parameters, List<Expr> defaults, String end) {
        int outer = loops;
        loops = 0;
        List<Statement> body = closedBody(end);
        loops = outer;
        return new Macro.Definition(name, List.copyOf(parameters), List.copyOf(defaults), body);
    }

    private void signature(List<String> parameters, List<Expr> defaults) {
        expectOperator("(");
        while (!skipOperator(")")) {
            String parameter = variable();
            if (parameters.contains(parameter)) {
                throw error("the parameter " + parameter + " occurs twice");
            }
            parameters.add(parameter);
            if (skipOperator("=")) {
                defaults.add(expression());
            } else if (!defaults.isEmpty()) {
                throw error("the parameter " + parameter + " without a default follows one with a default");
            }
            if (!peek().isOperator(")")) {
                expectOperator(",");
            }
        }
    }

    private Statement with() {
        List<Target> targets = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (peek().kind() != Token.Kind.BLOCK_END) {
            targets.add(singleTarget());
            expectOperator("=");
            values.add(expression());
            if (peek().kind() != Token.Kind.BLOCK_END) {
                expectOperator(",");
            }
        }
        return new Statement.With(List.copyOf(targets), List.copyOf(values), closedBody("endwith"));
    }
}
