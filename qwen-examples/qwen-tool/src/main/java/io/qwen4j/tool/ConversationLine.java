package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import io.qwen4j.Message;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A line of standard input with a conversation to judge: {@code {"messages": [{"role": …, "content": …}, …], "steps": […]}}.
 *
 * @param number of the line, from 1
 * @param messages the messages
 * @param steps the steps of the answer, or null where the line has none
 */
record ConversationLine(long number, List<Message> messages, @Nullable List<String> steps) {
    static ConversationLine read(byte[] line, long number) throws IOException {
        List<Message> messages = null;
        List<String> steps = null;
        try (JsonParser json = Json.parser(line)) {
            expect(json.nextToken() == JsonToken.START_OBJECT, "a JSON object", json, number);
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String field = json.currentName();
                boolean array = json.nextToken() == JsonToken.START_ARRAY;
                switch (field) {
                    case "messages" -> {
                        expect(array, "an array of messages", json, number);
                        messages = messages(json, number);
                    }
                    case "steps" -> {
                        expect(array, "an array of steps", json, number);
                        steps = steps(json, number);
                    }
                    default -> throw wrong("the fields messages and steps", "the field " + field, number, null);
                }
            }
            expect(json.nextToken() == null, "one JSON object", json, number);
        } catch (JsonProcessingException e) {
            throw wrong("a JSON object", e.getOriginalMessage(), number, e);
        }
        if (messages == null || messages.isEmpty()) {
            throw wrong("at least one message", "none", number, null);
        }
        return new ConversationLine(number, messages, steps);
    }

    private static List<Message> messages(JsonParser json, long number) throws IOException {
        List<Message> messages = new ArrayList<>();
        while (json.nextToken() != JsonToken.END_ARRAY) {
            expect(json.currentToken() == JsonToken.START_OBJECT, "a message", json, number);
            messages.add(message(json, number));
        }
        return messages;
    }

    private static Message message(JsonParser json, long number) throws IOException {
        String role = null;
        String content = null;
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String field = json.currentName();
            expect(json.nextToken() == JsonToken.VALUE_STRING, "a string as " + field + " of a message", json, number);
            switch (field) {
                case "role" -> role = json.getText();
                case "content" -> content = json.getText();
                default -> throw wrong("messages of role and content", "the field " + field, number, null);
            }
        }
        if (role == null || content == null) {
            throw wrong("messages of role and content", "one without " + (role == null ? "role" : "content"), number, null);
        }
        return switch (role) {
            case "system" -> Message.system(content);
            case "user" -> Message.user(content);
            case "assistant" -> Message.assistant(content);
            case "tool" -> Message.tool(content);
            default -> throw wrong("the role system, user, assistant or tool", role, number, null);
        };
    }

    private static List<String> steps(JsonParser json, long number) throws IOException {
        List<String> steps = new ArrayList<>();
        while (json.nextToken() != JsonToken.END_ARRAY) {
            expect(json.currentToken() == JsonToken.VALUE_STRING, "a step, which is a string", json, number);
            steps.add(json.getText());
        }
        return steps;
    }

    private static void expect(boolean fulfilled, String expected, JsonParser json, long number) {
        if (!fulfilled) {
            throw wrong(expected, json.currentToken() == null ? "nothing" : json.currentToken().toString(), number, null);
        }
    }

    private static ToolException wrong(String expected, String found, long number, @Nullable Throwable cause) {
        return new ToolException("standard input, line " + number + ": expected " + expected + ", found " + found, cause);
    }
}
