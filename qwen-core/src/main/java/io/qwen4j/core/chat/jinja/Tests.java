package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The tests after {@code is}. */
final class Tests {
    /** What a test decides. */
    @FunctionalInterface
    interface Body {
        boolean holds(Object value, Arguments arguments);
    }

    private static final Map<String, Body> ALL = Map.ofEntries(
            Map.entry("defined", (v, a) -> !(v instanceof Undefined)),
            Map.entry("undefined", (v, a) -> v instanceof Undefined),
            Map.entry("none", (v, a) -> v == null),
            Map.entry("string", (v, a) -> v instanceof Text),
            Map.entry("number", (v, a) -> Numbers.isNumber(v)),
            Map.entry("integer", (v, a) -> Numbers.isInteger(v) && !(v instanceof Boolean)),
            Map.entry("float", (v, a) -> v instanceof Double),
            Map.entry("boolean", (v, a) -> v instanceof Boolean),
            Map.entry("true", (v, a) -> Boolean.TRUE.equals(v)),
            Map.entry("false", (v, a) -> Boolean.FALSE.equals(v)),
            Map.entry("mapping", (v, a) -> v instanceof Dict),
            // Whatever has a length and items, which Python's Undefined pretends to have.
            Map.entry("sequence", (v, a) -> isSequence(v)),
            Map.entry("iterable", (v, a) -> Values.isIterable(v)),
            Map.entry("callable", (v, a) -> v instanceof Function || v instanceof Undefined),
            Map.entry("escaped", (v, a) -> false),
            Map.entry("odd", (v, a) -> remainder(v, 2L) == 1),
            Map.entry("even", (v, a) -> remainder(v, 2L) == 0),
            Map.entry("divisibleby", (v, a) -> remainder(v, other(a)) == 0),
            Map.entry("lower", (v, a) -> isCase(v, true)),
            Map.entry("upper", (v, a) -> isCase(v, false)),
            Map.entry("sameas", (v, a) -> isSame(v, other(a))),
            Map.entry("in", (v, a) -> Values.contains(other(a), v)),
            Map.entry("filter", (v, a) -> v instanceof Text text && Filters.find(text.chars()) != null),
            Map.entry("test", (v, a) -> v instanceof Text text && find(text.chars()) != null),
            Map.entry("eq", compare("==")),
            Map.entry("equalto", compare("==")),
            Map.entry("==", compare("==")),
            Map.entry("ne", compare("!=")),
            Map.entry("!=", compare("!=")),
            Map.entry("lt", compare("<")),
            Map.entry("lessthan", compare("<")),
            Map.entry("<", compare("<")),
            Map.entry("le", compare("<=")),
            Map.entry("<=", compare("<=")),
            Map.entry("gt", compare(">")),
            Map.entry("greaterthan", compare(">")),
            Map.entry(">", compare(">")),
            Map.entry("ge", compare(">=")),
            Map.entry(">=", compare(">=")));

    private Tests() {}

    static @Nullable Body find(String name) {
        return ALL.get(name);
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
