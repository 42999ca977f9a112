package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.qwen4j.GenerationEvent;
import io.qwen4j.ModelLimits;
import io.qwen4j.Tokenizer;
import io.qwen4j.ToolCall;
import io.qwen4j.core.testing.GoldenFiles;
import io.qwen4j.core.tokenizer.TokenizerLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DetokenizedTextTest {
    @TempDir
    static Path directory;

    private static Tokenizer tokenizer;

    private final List<GenerationEvent> events = new ArrayList<>();

    @BeforeAll
    static void load() {
        tokenizer = TokenizerLoader.load(GoldenFiles.unpack("tiny-qwen", directory), ModelLimits.DEFAULT);
    }

    /** Feeds a text token by token until it stops. */
    private AnswerText feed(String answer, List<String> stop, boolean tools) {
        AnswerText text = new DetokenizedText(tokenizer, stop, tools);
        for (int id : tokenizer.encode(answer)) {
            text.token(id, events::add);
            if (text.stop() != null) {
                return text;
            }
        }
        text.finish(events::add);
        return text;
    }

    private String deltas() {
        StringBuilder all = new StringBuilder();
        events.forEach(event -> all.append(event instanceof GenerationEvent.TextDelta delta ? delta.text() : ""));
        return all.toString();
    }

    @ParameterizedTest
    @ValueSource(strings = {"of J", "Japan is", "capital of Japan is T", "s", "kyo.", "T", "The capital of Japan is Tokyo."})
    void stopStringsAreFoundAcrossTokens(String stop) {
        String answer = "The capital of Japan is Tokyo. 🎌 Yes";
        AnswerText text = feed(answer, List.of("not in it", stop), false);
        assertEquals(answer.substring(0, answer.indexOf(stop)), text.text());
        assertEquals(text.text(), deltas());
        assertEquals(stop, text.stop());
    }

    @Test
    void whatIsHeldBackComesAtTheEnd() {
        AnswerText text = feed("The capital 🎌", List.of("🎌🎌", "capital 🎌!"), false);
        assertEquals("The capital 🎌", text.text());
        assertEquals(text.text(), deltas());
        assertNull(text.stop());
    }

    @Test
    void callsOfToolsAreEventsWhileTheyStream() {
        String answer = "Let me look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
        AnswerText text = feed(answer, List.of(), true);
        assertEquals("Let me look.", text.text());
        assertEquals(1, text.toolCalls().size());
        ToolCall call = text.toolCalls().get(0);
        assertEquals("get_weather", call.name());
        assertEquals("{\"city\": \"Paris\"}", call.argumentsJson());
        assertEquals(1, events.stream().filter(GenerationEvent.ToolCallStarted.class::isInstance).count());
        assertEquals(1, events.stream().filter(GenerationEvent.ToolCallFinished.class::isInstance).count());
        // Without tools in the request it is text.
        events.clear();
        assertEquals(answer, feed(answer, List.of(), false).text());
    }

    @Test
    void stopStringInsideACallEndsItAsText() {
        AnswerText text = feed("<tool_call>\n{\"name\": \"a\", \"arguments\": {}}", List.of("arg"), true);
        assertEquals("<tool_call>\n{\"name\": \"a\", \"", text.text());
        assertEquals(List.of(), text.toolCalls());
    }
}
