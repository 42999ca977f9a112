package io.qwen4j;

import org.jspecify.annotations.Nullable;

/** Something that happened while an answer was generated. Kinds may be added: ignore what you do not know. */
public sealed interface GenerationEvent {
    /**
     * The first event: the prompt was accepted and computing begins.
     *
     * @param promptTokens tokens of the prompt
     */
    record Started(int promptTokens) implements GenerationEvent {}

    /**
     * A token was chosen. Its text follows in a {@link TextDelta} as soon as it is certain.
     *
     * @param id the token
     * @param logProbability its probability, where the request asked for it
     */
    record Token(int id, @Nullable TokenLogProbability logProbability) implements GenerationEvent {}

    /**
     * More text. A character is never split; special tokens, stop strings and the markup of tool calls are left out.
     *
     * @param text the text, not empty
     */
    record TextDelta(String text) implements GenerationEvent {}

    /**
     * The model begins to call a tool.
     *
     * @param index the call's number within the answer, from 0
     * @param id the call's name within the answer
     * @param name the function's name
     */
    record ToolCallStarted(int index, String id, String name) implements GenerationEvent {}

    /**
     * More of the arguments of a call.
     *
     * @param index the call's number within the answer, from 0
     * @param argumentsDelta a piece of JSON text, not empty
     */
    record ToolCallDelta(int index, String argumentsDelta) implements GenerationEvent {}

    /**
     * A call is complete.
     *
     * @param index the call's number within the answer, from 0
     * @param call the call
     */
    record ToolCallFinished(int index, ToolCall call) implements GenerationEvent {}

    /**
     * The last event of an answer that did not fail.
     *
     * @param reason why it ended
     * @param stop the stop string that ended it, or null
     * @param usage tokens
     * @param timings times
     */
    record Finished(FinishReason reason, @Nullable String stop, Usage usage, Timings timings) implements GenerationEvent {}
}
