package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import org.jspecify.annotations.Nullable;

/** The tests after {@code is}. */
final class Tests {
    /** What a test decides. */
    @FunctionalInterface
    interface Body {
        boolean holds(Object value, Arguments arguments);
    }

    private Tests() {}

    static @Nullable Body find(String name) {
        return switch (name) {
            case "defined" -> (v, a) -> !(v instanceof Undefined);
            case "undefined" -> (v, a) -> v instanceof Undefined;
            case "none" -> (v, a) -> v == null;
            case "string" -> (v, a) -> v instanceof Text;
            case "number" -> (v, a) -> Numbers.isNumber(v);
            case "integer" -> (v, a) -> Numbers.isInteger(v) && !(v instanceof Boolean);
            case "float" -> (v, a) -> v instanceof Double;
            case "boolean" -> (v, a) -> v instanceof Boolean;
            case "true" -> (v, a) -> Boolean.TRUE.equals(v);
            case "false" -> (v, a) -> Boolean.FALSE.equals(v);
            case "mapping" -> (v, a) -> v instanceof Dict;
            // Whatever has a length and items, which Python's Undefined pretends to have.
            case "sequence" -> (v, a) -> isSequence(v);
            case "iterable" -> (v, a) -> Values.isIterable(v);
            case "callable" -> (v, a) -> v instanceof Function || v instanceof Undefined;
            case "escaped" -> (v, a) -> false;
            case "odd" -> (v, a) -> remainder(v, 2L) == 1;
            case "even" -> (v, a) -> remainder(v, 2L) == 0;
            case "divisibleby" -> (v, a) -> remainder(v, other(a)) == 0;
            case "lower" -> (v, a) -> isCase(v, true);
            case "upper" -> (v, a) -> isCase(v, false);
            case "sameas" -> (v, a) -> isSame(v, other(a));
            case "in" -> (v, a) -> Values.contains(other(a), v);
            case "filter" -> (v, a) -> v instanceof Text text && Filters.find(text.chars()) != null;
            case "test" -> (v, a) -> v instanceof Text text && find(text.chars()) != null;
            case "eq", "equalto", "==" -> compare("==");
            case "ne", "!=" -> compare("!=");
            case "lt", "lessthan", "<" -> compare("<");
            case "le", "<=" -> compare("<=");
            case "gt", "greaterthan", ">" -> compare(">");
            case "ge", ">=" -> compare(">=");
            default -> null;
        };
    }

    private static boolean isSequence(Object value) {
        return value instanceof Text || value instanceof Dict || value instanceof Undefined || value instanceof Seq seq && seq.indexable();
    }

    private static Body compare(String operator) {
        return (value, arguments) -> Operators.compare(operator, value, other(arguments));
    }

    private static Object other(Arguments arguments) {
        if (arguments.positional().size() != 1) {
            throw new TemplateException("the test " + arguments.of() + " in the chat template takes one argument");
        }
        return arguments.positional().get(0);
    }

    private static double remainder(Object value, Object divisor) {
        if (!Numbers.isNumber(Values.defined(value)) || !Numbers.isNumber(divisor)) {
            throw new TemplateException("a test of the chat template needs a number, found " + Values.typeName(value));
        }
        return Numbers.real(Numbers.binary("%", value, divisor));
    }

    private static boolean isCase(Object value, boolean lower) {
        boolean scalar = value == null || Numbers.isNumber(value);
        Text text = value instanceof Text own ? own : scalar ? Text.trusted(Printer.scalar(value)) : Text.EMPTY;
        return Methods.isCase(text, lower);
    }

    /** Identity: of scalars that are the same object in Python, their value. */
    private static boolean isSame(Object a, Object b) {
        if (a instanceof Boolean || b instanceof Boolean || a == null || b == null) {
            return a == null ? b == null : a.equals(b);
        }
        return a == b || a instanceof Long && a.equals(b);
    }
}
