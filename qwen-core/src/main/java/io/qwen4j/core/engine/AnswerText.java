package io.qwen4j.core.engine;

import io.qwen4j.GenerationEvent;
import io.qwen4j.ToolCall;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Turns the tokens of one answer into text, tool calls and their events. Used by one thread. */
interface AnswerText {
    /** For a model without a tokenizer: no text. */
    AnswerText NONE = new AnswerText() {
        @Override
        public void token(int id, Consumer<GenerationEvent> events) {}

        @Override
        public void finish(Consumer<GenerationEvent> events) {}

        @Override
        public @Nullable String stop() {
            return null;
        }

        @Override
        public String text() {
            return "";
        }

        @Override
        public List<ToolCall> toolCalls() {
            return List.of();
        }
    };

    /** Takes a token that does not end the answer. */
    void token(int id, Consumer<GenerationEvent> events);

    /** Gives what was held back; there will be no more tokens. */
    void finish(Consumer<GenerationEvent> events);

    /** The stop string that was found, or null. After it, nothing is to be given any more. */
    @Nullable String stop();

    /** The text so far. */
    String text();

    /** The complete calls so far. */
    List<ToolCall> toolCalls();
}
