package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;
import java.util.List;

/** What a value is assigned to. */
sealed interface Target {
    /** Assigns. */
    void assign(Object value, Scope scope);

    /** A variable. */
    record Variable(String name) implements Target {
        @Override
        public void assign(Object value, Scope scope) {
            scope.set(name, value);
        }
    }

    /** An attribute of a namespace. */
    record Attribute(String namespace, String name) implements Target {
        @Override
        public void assign(Object value, Scope scope) {
            if (!(scope.get(namespace) instanceof Namespace found)) {
                throw new TemplateException(
                        "the chat template assigns to " + namespace + "." + name + ", but " + namespace + " is not a namespace");
            }
            found.attributes.put(name, value);
        }
    }

    /** Several targets that take the elements of a value. */
    record Several(List<Target> targets) implements Target {
        @Override
        public void assign(Object value, Scope scope) {
            List<Object> values = Values.iterate(Values.defined(value));
            if (values.size() != targets.size()) {
                throw new TemplateException(
                        "the chat template unpacks " + values.size() + " values into " + targets.size() + " variables");
            }
            for (int i = 0; i < targets.size(); i++) {
                targets.get(i).assign(values.get(i), scope);
            }
        }
    }
}
