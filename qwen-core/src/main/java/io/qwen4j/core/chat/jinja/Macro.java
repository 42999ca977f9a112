package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A macro, or the body of a call block, with the scope it was defined in. */
final class Macro implements Function {
    /** A macro as written; the defaults belong to the last parameters. */
    record Definition(String name, List<String> parameters, List<Expr> defaults, List<Statement> body) {}

    private final Definition definition;
    private final Scope closure;

    Macro(Definition definition, Scope closure) {
        this.definition = definition;
        this.closure = closure;
    }

    Object attribute(String name) {
        return switch (name) {
            case "name" -> Text.trusted(definition.name());
            case "arguments" -> Seq.tuple(new ArrayList<>(definition.parameters().stream().map(Text::trusted).toList()));
            default -> Access.absent(this, name);
        };
    }

    @Override
    public Object call(Evaluation evaluation, Arguments arguments) {
        return call(evaluation, arguments, null);
    }

    Text call(Evaluation evaluation, Arguments arguments, @Nullable Macro caller) {
        Scope scope = new Scope(closure);
        List<String> parameters = definition.parameters();
        Map<String, Object> named = new LinkedHashMap<>(arguments.named());
        int firstDefault = parameters.size() - definition.defaults().size();
        for (int i = 0; i < parameters.size(); i++) {
            String name = parameters.get(i);
            Object value;
            if (i < arguments.positional().size()) {
                value = arguments.positional().get(i);
                if (named.containsKey(name)) {
                    throw new TemplateException("the macro " + definition.name() + " of the chat template got " + name + " twice");
                }
            } else if (named.containsKey(name)) {
                value = named.remove(name);
            } else if (i >= firstDefault) {
                value = evaluation.evaluate(definition.defaults().get(i - firstDefault), scope);
            } else {
                value = new Undefined("parameter '" + name + "'");
            }
            scope.set(name, value);
        }
        List<Object> rest = arguments.positional().size() > parameters.size()
                ? arguments.positional().subList(parameters.size(), arguments.positional().size())
                : List.of();
        if (caller != null) {
            scope.set("caller", caller);
        } else if (named.containsKey("caller") && !parameters.contains("caller")) {
            scope.set("caller", named.remove("caller"));
        }
        scope.set("varargs", Seq.tuple(new ArrayList<>(rest)));
        Dict unknown = new Dict();
        named.forEach((name, value) -> unknown.put(name, value));
        scope.set("kwargs", unknown);
        return evaluation.capture(definition.body(), scope);
    }
}
