package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.List;

/** The binary operators. */
final class Operators {
    private Operators() {}

    static Object binary(Evaluation evaluation, String operator, Object a, Object b) {
        if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
            return Numbers.binary(operator, a, b);
        }
        if (operator.equals("+")) {
            if (a instanceof Text x && b instanceof Text y) {
                return evaluation.made(evaluation.builder().append(x).append(y).build());
            }
            if (a instanceof Seq x && b instanceof Seq y && x.kind() == y.kind() && isConcatenable(x)) {
                List<Object> items = new ArrayList<>(x.items().size() + y.items().size());
                items.addAll(x.items());
                items.addAll(y.items());
                return evaluation.made(new Seq(items, x.kind()));
            }
        } else if (operator.equals("*")) {
            if (Numbers.isInteger(b) && (a instanceof Text || a instanceof Seq)) {
                return repeat(evaluation, a, Values.index(b, "*"));
            }
            if (Numbers.isInteger(a) && (b instanceof Text || b instanceof Seq)) {
                return repeat(evaluation, b, Values.index(a, "*"));
            }
        } else if (operator.equals("%") && a instanceof Text format) {
            return evaluation.made(Formatting.percent(evaluation, format, b));
        }
        throw Values.unsupported(operator, a, b);
    }

    private static boolean isConcatenable(Seq seq) {
        return seq.kind() == Seq.Kind.LIST || seq.kind() == Seq.Kind.TUPLE;
    }

    private static Object repeat(Evaluation evaluation, Object value, int count) {
        if (value instanceof Text text) {
            TextBuilder out = evaluation.builder();
            if ((long) text.length() * Math.max(0, count) > evaluation.limits().characters()) {
                throw new TemplateException(
                        "a string made by the chat template exceeds " + evaluation.limits().characters() + " characters");
            }
            for (int i = 0; i < count && !text.isEmpty(); i++) {
                out.append(text);
            }
            return evaluation.made(out.build());
        }
        Seq seq = (Seq) value;
        if (!isConcatenable(seq)) {
            throw Values.unsupported("*", value, (long) count);
        }
        evaluation.charge((long) seq.items().size() * Math.max(0, count));
        List<Object> items = new ArrayList<>();
        for (int i = 0; i < count && !seq.items().isEmpty(); i++) {
            items.addAll(seq.items());
        }
        return new Seq(items, seq.kind());
    }

    static boolean compare(String operator, Object a, Object b) {
        return switch (operator) {
            case "==" -> Values.equal(a, b);
            case "!=" -> !Values.equal(a, b);
            case "in" -> Values.contains(b, a);
            case "not in" -> !Values.contains(b, a);
            default -> ordered(operator, a, b);
        };
    }

    private static boolean ordered(String operator, Object a, Object b) {
        int order = Values.compare(a, b, operator);
        if (!Numbers.isOrdered(a, b)) {
            return false;
        }
        return switch (operator) {
            case "<" -> order < 0;
            case "<=" -> order <= 0;
            case ">" -> order > 0;
            default -> order >= 0;
        };
    }
}
