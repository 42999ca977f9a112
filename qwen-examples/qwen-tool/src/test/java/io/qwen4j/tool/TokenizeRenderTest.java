package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.tinyqwen.TinyQwen;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TokenizeRenderTest {
    private static final String START = "<|im_start|>";
    private static final String END = "<|im_end|>";

    @TempDir
    Path temporary;

    @ParameterizedTest
    @ValueSource(
            strings = {"Hello, world", "", " ", "tab\\tquote\\\"line\\nend", "caf\\u00e9 漢字 \\ud83d\\ude00 😀", "<|im_start|>user"})
    void decodingReturnsTheText(String json) {
        String line = "\"" + json + "\"\n";
        String ids = Tool.runWith(line, "tokenize").succeeded().out();
        assertTrue(ids.matches("\\[(\\d+(,\\d+)*)?\\]\n"), ids);
        String text = Tool.runWith(ids, "tokenize", "--decode").succeeded().out();
        assertEquals(Tool.runWith(text, "tokenize").succeeded().out(), ids);
    }

    @Test
    void controlTokensAreRecognisedUnlessPlain() {
        String line = "\"<|im_start|>\"\n";
        assertEquals("[3969]\n", Tool.runWith(line, "tokenize", "tiny-qwen").succeeded().out());
        String plain = Tool.runWith(line, "tokenize", "tiny-qwen", "--plain").succeeded().out();
        assertTrue(plain.contains(","), plain);
        assertEquals("\"<|im_start|>\"\n", Tool.runWith(plain, "tokenize", "--decode").succeeded().out());
    }

    @Test
    void loneSurrogatesAreTakenAsReplacementCharacters() {
        assertEquals(
                Tool.runWith("\"a\\ufffdb\"\n", "tokenize").succeeded().out(),
                Tool.runWith("\"a\\ud800b\"\n", "tokenize").succeeded().out());
    }

    @Test
    void linesMayEndInAnyWayOrBeEmpty() {
        String expected = Tool.runWith("\"a\"\n\"b\"\n", "tokenize").succeeded().out();
        assertEquals(expected, Tool.runWith("\"a\"\r\n\n \"b\" ", "tokenize").succeeded().out());
        assertEquals("", Tool.runWith("", "tokenize").succeeded().out());
    }

    @Test
    void manyAndLongLinesStream() {
        StringBuilder input = new StringBuilder();
        for (int i = 0; i < 20_000; i++) {
            input.append("\"line ").append(i).append("\"\n");
        }
        input.append('"').append("word ".repeat(400_000)).append("\"\n");
        assertEquals(20_001, Tool.runWith(input.toString(), "tokenize").succeeded().out().lines().count());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "hello|expected a JSON string",
        "[1]|expected a JSON string, found START_ARRAY",
        "\"a\" \"b\"|expected one JSON string",
        "\"a|expected a JSON string",
        "null|expected a JSON string"
    })
    void aWrongLineIsNamed(String line, String expected) {
        Tool.Result result = Tool.runWith("\"ok\"\n" + line + "\n", "tokenize");
        String message = result.failure();
        assertTrue(message.contains("line 2: " + expected), message);
        assertEquals(1, result.out().lines().count(), "the lines before it are answered");
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"a\"", "[1.5]", "[-1]", "[3990]", "[99999999999]", "[1,", "[[1]]", "{}"})
    void wrongIdsAreNamed(String line) {
        assertTrue(Tool.runWith("[1]\n" + line + "\n", "tokenize", "--decode").failure().contains("line 2: "));
    }

    @Test
    void invalidUtf8IsNamed() {
        byte[] input = "\"a\"\n\"\u00ff\"\n".getBytes(StandardCharsets.ISO_8859_1);
        assertTrue(Tool.runWith(input, "tokenize").failure().contains("line 2: "));
        assertTrue(Tool.runWith(input, "render").failure().contains("not UTF-8"));
    }

    @Test
    void onlyTokenizerFilesAreNeeded() {
        Path model = Tool.copy(TinyQwen.directory(), temporary.resolve("m"), "model.safetensors", "config.json", "generation_config.json");
        String name = model.toString();
        assertEquals("[3969]\n", Tool.runWith("\"<|im_start|>\"\n", "tokenize", name).succeeded().out());
        String prompt = Tool.runWith("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", "render", name).succeeded().out();
        assertTrue(prompt.endsWith(START + "user\nHi" + END + "\n" + START + "assistant\n"), prompt);
    }

    @Test
    void rendersWithNothingAdded() {
        String conversation = """
                {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Grüße"}], "add_generation_prompt": false}
                """;
        assertEquals(
                START + "system\nS" + END + "\n" + START + "user\nGrüße" + END + "\n",
                Tool.runWith(conversation, "render").succeeded().out());
    }

    @Test
    void rendersTools() {
        String conversation = """
                {"messages": [{"role": "user", "content": "Time?"}],
                 "tools": [{"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}]}
                """;
        String prompt = Tool.runWith(conversation, "render").succeeded().out();
        assertTrue(prompt.contains("<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"get_time\""), prompt);
    }

    @Test
    void rendersWithAnotherTemplate() throws Exception {
        Path template = Files.writeString(
                temporary.resolve("t.jinja"), "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}");
        assertEquals(
                "[user] Hi",
                Tool.runWith("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", "render", "--template", template.toString())
                        .succeeded()
                        .out());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "x", "[]", "{}", "{\"messages\": 3}", "{\"messages\": [{\"role\": \"user\"", "{\"messages\": []} x"})
    void aWrongConversationIsOneLine(String input) {
        Tool.runWith(input, "render").failure();
    }

    @Test
    void aWrongTemplateIsOneLine() throws Exception {
        Path template = Files.writeString(temporary.resolve("t.jinja"), "{% for m in %}");
        Tool.runWith("{\"messages\":[]}", "render", "--template", template.toString()).failure();
        String missing = Tool.runWith("{}", "render", "--template", temporary.resolve("none").toString()).failure();
        assertTrue(missing.contains("no such file"), missing);
    }
}
