package io.qwen4j.core.chat.jinja;

/** Something a template may call. */
@FunctionalInterface
interface Function {
    Object call(Evaluation evaluation, Arguments arguments);
}
