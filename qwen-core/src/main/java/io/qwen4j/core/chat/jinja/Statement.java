package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A statement of a template. */
sealed interface Statement {
    /** How a statement ends. */
    enum Flow {
        NEXT,
        BREAK,
        CONTINUE
    }

    /** Runs it. */
    Flow run(Evaluation evaluation, Scope scope);

    /** Text outside of tags. */
    record Data(Text text) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            evaluation.put(text);
            return Flow.NEXT;
        }
    }

    /** {@code {{ value }}}. */
    record Print(Expr value) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            evaluation.put(Printer.str(evaluation, evaluation.evaluate(value, scope)));
            return Flow.NEXT;
        }
    }

    /** {@code if}: conditions and bodies, and a body for none of them. */
    record If(List<Expr> conditions, List<List<Statement>> bodies, List<Statement> otherwise) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            for (int i = 0; i < conditions.size(); i++) {
                if (Values.truth(evaluation.evaluate(conditions.get(i), scope))) {
                    return evaluation.run(bodies.get(i), scope);
                }
            }
            return evaluation.run(otherwise, scope);
        }
    }

    /** {@code for}. */
    record For(Target target, Expr over, @Nullable Expr filter, List<Statement> body, List<Statement> otherwise) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            List<Object> items = Values.iterate(evaluation.evaluate(over, scope));
            evaluation.charge(items.size() / 16);
            if (filter != null) {
                items = filtered(evaluation, scope, items, filter);
            }
            LoopState loop = new LoopState(items);
            for (int i = 0; i < items.size(); i++) {
                Scope inner = new Scope(scope);
                loop.moveTo(i);
                inner.set("loop", loop);
                target.assign(items.get(i), inner);
                if (evaluation.run(body, inner) == Flow.BREAK) {
                    break;
                }
            }
            if (items.isEmpty()) {
                evaluation.run(otherwise, new Scope(scope));
            }
            return Flow.NEXT;
        }

        private List<Object> filtered(Evaluation evaluation, Scope scope, List<Object> items, Expr condition) {
            List<Object> kept = new ArrayList<>();
            for (Object item : items) {
                Scope inner = new Scope(scope);
                target.assign(item, inner);
                if (Values.truth(evaluation.evaluate(condition, inner))) {
                    kept.add(item);
                }
            }
            return kept;
        }
    }

    /** {@code set target = value}. */
    record Assign(Target target, Expr value) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            target.assign(evaluation.evaluate(value, scope), scope);
            return Flow.NEXT;
        }
    }

    /** {@code set target} to what a body puts out; the filter reads the variable {@link Parser#CAPTURED}. */
    record AssignBlock(Target target, @Nullable Expr filter, List<Statement> body) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            Scope inner = new Scope(scope);
            Object value = evaluation.capture(body, inner);
            if (filter != null) {
                inner.set(Parser.CAPTURED, value);
                value = evaluation.evaluate(filter, inner);
            }
            target.assign(value, scope);
            return Flow.NEXT;
        }
    }

    /** {@code filter name}: puts out what the filter makes of what a body puts out. */
    record FilterBlock(Expr filter, List<Statement> body) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            Scope inner = new Scope(scope);
            inner.set(Parser.CAPTURED, evaluation.capture(body, inner));
            evaluation.put(Printer.str(evaluation, evaluation.evaluate(filter, inner)));
            return Flow.NEXT;
        }
    }

    /** {@code macro}. */
    record DefineMacro(Macro.Definition definition) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            scope.set(definition.name(), new Macro(definition, scope));
            return Flow.NEXT;
        }
    }

    /** {@code call}: calls a macro that may call back the body. */
    record CallBlock(Macro.Definition body, Expr.Call call) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            Object target = evaluation.evaluate(call.function(), scope);
            if (!(target instanceof Macro macro)) {
                throw new TemplateException("a call block of the chat template calls " + Values.typeName(target) + ", not a macro");
            }
            Arguments arguments = call.arguments().evaluate(evaluation, scope, "the macro");
            evaluation.put(macro.call(evaluation, arguments, new Macro(body, scope)));
            return Flow.NEXT;
        }
    }

    /** {@code with}: variables for a body. */
    record With(List<Target> targets, List<Expr> values, List<Statement> body) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            Scope inner = new Scope(scope);
            for (int i = 0; i < targets.size(); i++) {
                targets.get(i).assign(evaluation.evaluate(values.get(i), scope), inner);
            }
            return evaluation.run(body, inner);
        }
    }

    /** {@code break} or {@code continue}. */
    record Jump(Flow flow) implements Statement {
        @Override
        public Flow run(Evaluation evaluation, Scope scope) {
            return flow;
        }
    }
}
