package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** An expression of a template. Children are evaluated through {@link Evaluation#evaluate}, which counts steps and depth. */
sealed interface Expr {
    /** The value in a scope. */
    Object evaluate(Evaluation evaluation, Scope scope);

    /** A literal. */
    record Constant(@Nullable Object value) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            return value;
        }
    }

    /** A variable. */
    record Name(String name) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            return scope.get(name);
        }
    }

    /** A list or tuple. */
    record Sequence(List<Expr> items, boolean tuple) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            List<Object> values = new ArrayList<>(items.size());
            for (Expr item : items) {
                values.add(evaluation.evaluate(item, scope));
            }
            return tuple ? Seq.tuple(values) : Seq.list(values);
        }
    }

    /** A dictionary; keys and values alternate. */
    record Dictionary(List<Expr> items) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Dict dict = new Dict();
            for (int i = 0; i < items.size(); i += 2) {
                dict.put(evaluation.evaluate(items.get(i), scope), evaluation.evaluate(items.get(i + 1), scope));
            }
            return dict;
        }
    }

    /** {@code -x}, {@code +x} or {@code not x}. */
    record Unary(String operator, Expr operand) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object value = evaluation.evaluate(operand, scope);
            if (operator.equals("not")) {
                return !Values.truth(value);
            }
            if (!Numbers.isNumber(Values.defined(value))) {
                throw new TemplateException("unary '" + operator + "' in the chat template is not supported for " + Values.typeName(value));
            }
            return operator.equals("-") ? Numbers.negate(value) : value instanceof Boolean ? Numbers.small(Numbers.integer(value)) : value;
        }
    }

    /** Arithmetic on two operands. */
    record Binary(String operator, Expr left, Expr right) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object a = evaluation.evaluate(left, scope);
            return Operators.binary(evaluation, operator, a, evaluation.evaluate(right, scope));
        }
    }

    /** Operands printed one after the other: {@code a ~ b}. */
    record Concatenation(List<Expr> operands) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            TextBuilder out = evaluation.builder();
            for (Expr operand : operands) {
                out.append(Printer.str(evaluation, evaluation.evaluate(operand, scope)));
            }
            return evaluation.made(out.build());
        }
    }

    /** {@code a and b}, {@code a or b}: the operand that decides. */
    record Logical(boolean and, Expr left, Expr right) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object value = evaluation.evaluate(left, scope);
            return Values.truth(value) == and ? evaluation.evaluate(right, scope) : value;
        }
    }

    /** A chain of comparisons: {@code a < b <= c}. */
    record Comparison(Expr first, List<String> operators, List<Expr> operands) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object left = evaluation.evaluate(first, scope);
            for (int i = 0; i < operators.size(); i++) {
                Object right = evaluation.evaluate(operands.get(i), scope);
                if (!Operators.compare(operators.get(i), left, right)) {
                    return false;
                }
                left = right;
            }
            return true;
        }
    }

    /** {@code a if condition else b}. */
    record Conditional(Expr condition, Expr yes, @Nullable Expr no) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            if (Values.truth(evaluation.evaluate(condition, scope))) {
                return evaluation.evaluate(yes, scope);
            }
            return no == null ? new Undefined("the value of an inline if without else") : evaluation.evaluate(no, scope);
        }
    }

    /** {@code target.name}. */
    record Attribute(Expr target, String name) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            return Access.attribute(evaluation.evaluate(target, scope), name);
        }
    }

    /** {@code target[key]}. */
    record Item(Expr target, Expr key) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object value = evaluation.evaluate(target, scope);
            return Access.item(value, evaluation.evaluate(key, scope));
        }
    }

    /** {@code target[start:stop:step]}. */
    record Slice(Expr target, @Nullable Expr start, @Nullable Expr stop, @Nullable Expr step) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object value = evaluation.evaluate(target, scope);
            Object from = start == null ? null : evaluation.evaluate(start, scope);
            Object to = stop == null ? null : evaluation.evaluate(stop, scope);
            Object by = step == null ? null : evaluation.evaluate(step, scope);
            return evaluation.made(Access.slice(evaluation, value, from, to, by));
        }
    }

    /** {@code function(...)}. */
    record Call(Expr function, CallArguments arguments) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object target = evaluation.evaluate(function, scope);
            if (target instanceof Function called) {
                return evaluation.made(called.call(evaluation, arguments.evaluate(evaluation, scope, name())));
            }
            Values.defined(target);
            throw new TemplateException("the chat template calls " + Values.typeName(target) + " (" + name() + ")");
        }

        private String name() {
            return function instanceof Name n ? n.name() : function instanceof Attribute a ? a.name() : "a value";
        }
    }

    /** {@code input | name(...)}. */
    record Filter(String name, Filters.Body body, Expr input, CallArguments arguments) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object value = evaluation.evaluate(input, scope);
            return evaluation.made(body.apply(evaluation, value, arguments.evaluate(evaluation, scope, name)));
        }
    }

    /** {@code input is name(...)}. */
    record Test(String name, Tests.Body body, Expr input, CallArguments arguments) implements Expr {
        @Override
        public Object evaluate(Evaluation evaluation, Scope scope) {
            Object value = evaluation.evaluate(input, scope);
            return body.holds(value, arguments.evaluate(evaluation, scope, name));
        }
    }

    /** The arguments of a call as written. */
    record CallArguments(List<Expr> positional, Map<String, Expr> named, @Nullable Expr rest, @Nullable Expr namedRest) {
        static final CallArguments NONE = new CallArguments(List.of(), Map.of(), null, null);

        Arguments evaluate(Evaluation evaluation, Scope scope, String of) {
            List<Object> values = new ArrayList<>(positional.size());
            for (Expr argument : positional) {
                values.add(evaluation.evaluate(argument, scope));
            }
            if (rest != null) {
                values.addAll(Values.iterate(evaluation.evaluate(rest, scope)));
                evaluation.charge(values.size());
            }
            Map<String, Object> byName = new LinkedHashMap<>();
            for (Map.Entry<String, Expr> argument : named.entrySet()) {
                byName.put(argument.getKey(), evaluation.evaluate(argument.getValue(), scope));
            }
            if (namedRest != null) {
                if (!(evaluation.evaluate(namedRest, scope) instanceof Dict dict)) {
                    throw new TemplateException("** in the chat template needs a dictionary");
                }
                for (Dict.Entry entry : dict.entries()) {
                    byName.put(String.valueOf(entry.key()), entry.value());
                }
            }
            return new Arguments(of, values, byName);
        }
    }
}
