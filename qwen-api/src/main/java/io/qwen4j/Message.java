package io.qwen4j;

import java.util.List;
import java.util.Objects;

/** A message of a conversation. */
public sealed interface Message {
    /**
     * A message that sets the model's behaviour.
     *
     * @param content the text; the empty text differs from no system message, which lets the template choose its default
     * @return the message
     */
    static Message system(String content) {
        return new System(content);
    }

    /**
     * A message of the user.
     *
     * @param content the text
     * @return the message
     */
    static Message user(String content) {
        return new User(content);
    }

    /**
     * An earlier answer of the model.
     *
     * @param content the text
     * @return the message
     */
    static Message assistant(String content) {
        return new Assistant(content, List.of());
    }

    /**
     * An earlier answer of the model that called tools.
     *
     * @param content the text, possibly empty
     * @param toolCalls the calls
     * @return the message
     */
    static Message assistant(String content, List<ToolCall> toolCalls) {
        return new Assistant(content, toolCalls);
    }

    /**
     * What a tool returned.
     *
     * @param content the result
     * @return the message
     */
    static Message tool(String content) {
        return new Tool(content);
    }

    /**
     * The text.
     *
     * @return the content
     */
    String content();

    /**
     * Sets the model's behaviour.
     *
     * @param content the text
     */
    record System(String content) implements Message {
        /** Checks the content. */
        public System {
            Objects.requireNonNull(content, "content");
        }
    }

    /**
     * Says what the user says.
     *
     * @param content the text
     */
    record User(String content) implements Message {
        /** Checks the content. */
        public User {
            Objects.requireNonNull(content, "content");
        }
    }

    /**
     * Repeats what the model said.
     *
     * @param content the text, possibly empty
     * @param toolCalls the tools it called
     */
    record Assistant(String content, List<ToolCall> toolCalls) implements Message {
        /** Checks the content and copies the list. */
        public Assistant {
            Objects.requireNonNull(content, "content");
            toolCalls = List.copyOf(toolCalls);
        }
    }

    /**
     * Gives a tool's result.
     *
     * @param content the result
     */
    record Tool(String content) implements Message {
        /** Checks the content. */
        public Tool {
            Objects.requireNonNull(content, "content");
        }
    }
}
