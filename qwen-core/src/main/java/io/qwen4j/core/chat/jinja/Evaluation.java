package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.time.Clock;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/** One rendering: its output and what it may still spend. */
final class Evaluation {
    private final JinjaLimits limits;
    private final Clock clock;
    private final Deque<TextBuilder> outputs = new ArrayDeque<>();
    private long steps;
    private int depth;

    Evaluation(JinjaLimits limits, Clock clock) {
        this.limits = limits;
        this.clock = clock;
        this.outputs.push(builder());
    }

    JinjaLimits limits() {
        return limits;
    }

    Clock clock() {
        return clock;
    }

    TextBuilder builder() {
        return new TextBuilder(limits.characters());
    }

    void charge(long amount) {
        steps += amount;
        if (steps > limits.steps()) {
            throw new TemplateException("rendering the chat template takes more than " + limits.steps() + " steps");
        }
    }

    /** Counts what was made on the way, so that growing strings and lists step by step is bounded too. */
    <T> T made(T value) {
        if (value instanceof Text text) {
            charge(text.length() / 16);
        } else if (value instanceof Seq seq) {
            charge(seq.items().size() / 16);
        }
        return value;
    }

    private void enter() {
        if (++depth > limits.depth()) {
            throw new TemplateException("rendering the chat template nests deeper than " + limits.depth() + " levels");
        }
        charge(1);
    }

    Object evaluate(Expr expression, Scope scope) {
        enter();
        Object value = expression.evaluate(this, scope);
        depth--;
        return value;
    }

    Statement.Flow run(List<Statement> body, Scope scope) {
        enter();
        Statement.Flow flow = Statement.Flow.NEXT;
        for (int i = 0; i < body.size() && flow == Statement.Flow.NEXT; i++) {
            charge(1);
            flow = body.get(i).run(this, scope);
        }
        depth--;
        return flow;
    }

    void put(Text text) {
        outputs.element().append(text);
    }

    /** Runs a body and returns what it put out instead of putting it out. */
    Text capture(List<Statement> body, Scope scope) {
        outputs.push(builder());
        run(body, scope);
        return made(outputs.pop().build());
    }

    Text output() {
        return outputs.element().build();
    }
}
