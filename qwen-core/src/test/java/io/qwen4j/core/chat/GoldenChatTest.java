package io.qwen4j.core.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.qwen4j.ControlTokens;
import io.qwen4j.Message;
import io.qwen4j.RenderedPrompt;
import io.qwen4j.ToolCall;
import io.qwen4j.ToolSpec;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Conversations and the prompts that Hugging Face transformers makes of them. */
class GoldenChatTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    record Case(int number, JsonNode node) {
        @Override
        public String toString() {
            return number + " " + node.get("template").asText();
        }

        JinjaChatTemplate template() {
            return JinjaChatTemplate.parse(resource(node.get("template").asText() + ".jinja"));
        }
    }

    static String resource(String name) {
        try (InputStream in = GoldenChatTest.class.getResourceAsStream("/chat/" + name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new IllegalStateException(name, e);
        }
    }

    static Stream<Case> cases() throws IOException {
        JsonNode all = JSON.readTree(resource("cases.json"));
        int[] number = {0};
        return StreamSupport.stream(all.spliterator(), false).map(node -> new Case(number[0]++, node));
    }

    @Test
    void allCasesAreThere() throws IOException {
        assertEquals(106, cases().count());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void rendersJson(Case c) {
        RenderedPrompt prompt = c.template().renderJson(c.node().toString());
        assertEquals(c.node().get("text").asText(), prompt.text());
        for (int i = 1; i < prompt.segments().size(); i++) {
            assertTrue(prompt.segments().get(i).controlTokens() != prompt.segments().get(i - 1).controlTokens());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void rendersMessages(Case c) {
        RenderedPrompt prompt = c.template().render(messages(c.node()), tools(c.node()), c.node().get("add_generation_prompt").asBoolean());
        assertEquals(c.node().get("text").asText(), prompt.text());
        assertEquals(c.template().renderJson(c.node().toString()), prompt, "segments");
    }

    /** Whatever a message holds is plain in the prompt, whatever is recognised was written by the template. */
    @ParameterizedTest
    @MethodSource("cases")
    void keepsContentsPlain(Case c) {
        String template = c.template().source();
        for (RenderedPrompt.Segment segment : c.template().renderJson(c.node().toString()).segments()) {
            if (segment.controlTokens() == ControlTokens.RECOGNIZE) {
                for (JsonNode message : c.node().get("messages")) {
                    String content = message.get("content").asText().strip();
                    assertTrue(content.length() < 2 || template.contains(content) || !segment.text().contains(content), segment.text());
                }
            }
        }
    }

    private static List<Message> messages(JsonNode node) {
        List<Message> messages = new ArrayList<>();
        for (JsonNode message : node.get("messages")) {
            String content = message.get("content").asText();
            List<ToolCall> calls = new ArrayList<>();
            for (JsonNode call : message.path("tool_calls")) {
                JsonNode function = call.path("function").isObject() ? call.get("function") : call;
                calls.add(new ToolCall("call_" + calls.size(), function.get("name").asText(), function.get("arguments").toString()));
            }
            messages.add(
                    switch (message.get("role").asText()) {
                        case "system" -> Message.system(content);
                        case "user" -> Message.user(content);
                        case "assistant" -> Message.assistant(content, calls);
                        default -> Message.tool(content);
                    });
        }
        return messages;
    }

    private static List<ToolSpec> tools(JsonNode node) {
        List<ToolSpec> tools = new ArrayList<>();
        for (JsonNode tool : node.path("tools")) {
            JsonNode function = tool.get("function");
            tools.add(new ToolSpec(
                    function.get("name").asText(), function.get("description").asText(), function.get("parameters").toString()));
        }
        return tools;
    }
}
