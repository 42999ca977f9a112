package io.qwen4j;

import java.util.List;
import java.util.Objects;

/** What a model is asked. */
public sealed interface GenerationRequest {
    /**
     * How the answer is generated.
     *
     * @return the options
     */
    GenerationOptions options();

    /**
     * Asks for the next turn of a conversation.
     *
     * @param messages the messages so far, at least one
     * @param tools the tools the model may call; calls in the answer become events
     * @param options how the answer is generated
     */
    record Chat(List<Message> messages, List<ToolSpec> tools, GenerationOptions options) implements GenerationRequest {
        /** Copies the lists and checks that there is a message. */
        public Chat {
            messages = List.copyOf(messages);
            tools = List.copyOf(tools);
            Objects.requireNonNull(options, "options");
            if (messages.isEmpty()) {
                throw new IllegalArgumentException("a chat needs at least one message");
            }
        }

        /**
         * Asks for the next turn of a conversation without tools.
         *
         * @param messages the messages so far, at least one
         */
        public Chat(List<Message> messages) {
            this(messages, List.of(), GenerationOptions.DEFAULT);
        }
    }

    /**
     * Asks for the continuation of a text.
     *
     * @param prompt the text, not empty once encoded
     * @param controlTokens what becomes of the spelling of added tokens in the prompt
     * @param options how the answer is generated
     */
    record Text(String prompt, ControlTokens controlTokens, GenerationOptions options) implements GenerationRequest {
        /** Checks that nothing is null. */
        public Text {
            Objects.requireNonNull(prompt, "prompt");
            Objects.requireNonNull(controlTokens, "controlTokens");
            Objects.requireNonNull(options, "options");
        }

        /**
         * Asks for the continuation of a text in which added tokens are recognised.
         *
         * @param prompt the text, not empty
         */
        public Text(String prompt) {
            this(prompt, ControlTokens.RECOGNIZE, GenerationOptions.DEFAULT);
        }
    }

    /**
     * Asks for the continuation of token ids; needs no tokenizer.
     *
     * @param prompt the ids, at least one; each from 0 and below the model's vocabulary rows
     * @param options how the answer is generated
     */
    record Tokens(List<Integer> prompt, GenerationOptions options) implements GenerationRequest {
        /** Copies the list and checks that there is an id. */
        public Tokens {
            prompt = List.copyOf(prompt);
            Objects.requireNonNull(options, "options");
            if (prompt.isEmpty()) {
                throw new IllegalArgumentException("a prompt needs at least one token");
            }
        }
    }
}
