/**
 * A bounded interpreter of Jinja2 expressions and statements, as far as chat templates use them. Values are null, {@link
 * io.qwen4j.core.chat.jinja.Undefined}, Boolean, Long, BigInteger, Double, {@link io.qwen4j.core.chat.jinja.Text}, {@link
 * io.qwen4j.core.chat.jinja.Seq}, {@link io.qwen4j.core.chat.jinja.Dict} and a few objects that only the interpreter makes; nothing else of
 * the JVM is reachable. Meaning and output follow Python's Jinja2 in the environment of Hugging Face transformers.
 */
package io.qwen4j.core.chat.jinja;
