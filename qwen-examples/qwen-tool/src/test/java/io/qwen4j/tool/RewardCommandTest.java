package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.Message;
import io.qwen4j.RewardModel;
import io.qwen4j.tinyqwen.TinyQwen;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code qwen reward}, on models made of the bundled one. */
class RewardCommandTest {
    private static final String LINE =
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}\n";

    @TempDir
    static Path temporary;

    private static String outcome;
    private static String process;

    @BeforeAll
    static void make() throws IOException {
        outcome = RewardFiles.outcome(temporary.resolve("outcome")).toString();
        process = RewardFiles.process(temporary.resolve("process")).toString();
    }

    @Test
    void judgesOneConversation() {
        String plain = Tool.run("reward", outcome, "--message", "Q", "--answer", "A").succeeded().out();
        try (RewardModel model = RewardModel.load(Path.of(outcome))) {
            assertEquals((float) model.score(List.of(Message.user("Q"), Message.assistant("A"))) + "\n", plain);
            assertEquals(
                    (float) model.score(List.of(Message.system("S"), Message.user("Q"), Message.assistant("A"))) + "\n",
                    Tool.run("reward", outcome, "--message", "Q", "--answer", "A", "--system", "S").succeeded().out());
        }
        assertEquals("{\"reward\":" + plain.strip() + "}\n", Tool.run("reward", outcome, "--message", "Q", "--answer", "A", "--json")
                .succeeded().out());
        String java = Tool.run("reward", outcome, "--message", "Q", "--answer", "A", "--backend", "java").succeeded().out();
        assertEquals(Double.parseDouble(plain), Double.parseDouble(java), 0.05);
    }

    @Test
    void judgesEveryLine() {
        String one = Tool.runWith(LINE, "reward", outcome).succeeded().out();
        assertEquals(Tool.run("reward", outcome, "--message", "Q", "--answer", "A").succeeded().out(), one);
        // More than are judged together.
        List<String> lines = IntStream.range(0, 150).mapToObj(i -> LINE.replace("\"A\"", "\"" + i % 50 + "\"")).toList();
        List<String> rewards = Tool.runWith(String.join("\n", lines), "reward", outcome).succeeded().out().lines().toList();
        assertEquals(150, rewards.size());
        for (int i = 0; i < 150; i++) {
            assertEquals(rewards.get(i % 50), rewards.get(i), "line " + i);
        }
        assertEquals(Tool.runWith(lines.get(7), "reward", outcome).succeeded().out().strip(), rewards.get(7));
        assertTrue(rewards.stream().distinct().count() > 40, rewards.toString());
        assertEquals("", Tool.runWith("", "reward", outcome).succeeded().out());
    }

    @Test
    void judgesSteps() throws IOException {
        String answer = "One.\nStill one.\n\nTwo.\n \nThree.\n\n\n";
        String line = Tool.run("reward", process, "--message", "Q", "--answer", answer, "--steps").succeeded().out();
        try (RewardModel model = RewardModel.load(Path.of(process))) {
            List<Double> expected = model.scoreSteps("Q", List.of("One.\nStill one.", "Two.", "Three."));
            assertEquals(
                    expected.stream().map(p -> Float.toString(p.floatValue())).collect(Collectors.joining(",", "[", "]\n")), line);
        }
        assertEquals("{\"steps\":" + line.strip() + "}\n",
                Tool.run("reward", process, "--message", "Q", "--answer", answer, "--steps", "--json").succeeded().out());
        String system = "{\"role\": \"system\", \"content\": " + Json.quote(RewardModel.MATH_SYSTEM_MESSAGE) + "},"
                + " {\"role\": \"user\", \"content\": \"Q\"}";
        String cut = "{\"messages\": [" + system
                + ", {\"role\": \"assistant\", \"content\": \"One.\\nStill one.\\n\\nTwo.\\n\\nThree.\"}]}\n";
        String listed = "{\"steps\": [\"One.\\nStill one.\", \"Two.\", \"Three.\"], \"messages\": [" + system + "]}\n";
        assertEquals(line + line, Tool.runWith(cut + "\n" + listed, "reward", process, "--steps").succeeded().out());
    }

    @Test
    void theOtherKindAndOtherModelsAreRefused() {
        assertTrue(Tool.run("reward", process, "--message", "Q", "--answer", "A").failure().contains("--steps is missing"));
        assertTrue(Tool.run("reward", outcome, "--message", "Q", "--answer", "A", "--steps").failure().contains("leave --steps out"));
        assertTrue(Tool.run("reward", TinyQwen.directory().toString(), "--message", "Q", "--answer", "A").failure()
                .contains("this is a language model"));
        assertTrue(Tool.run("chat", outcome, "--message", "Q").failure().contains("this is a reward model"));
        assertTrue(Tool.run("quantize", outcome, "--type", "Q8_0", "--output", temporary.resolve("q.gguf").toString()).failure()
                .contains("the head of the model is REWARD"));
        assertFalse(temporary.resolve("q.gguf").toFile().exists());
        assertTrue(Tool.run("inspect", outcome).succeeded().out().contains("score.0.weight"));
    }

    @Test
    void convertsWhileLoading() {
        double exact = Double.parseDouble(Tool.run("reward", outcome, "--message", "Q", "--answer", "A").succeeded().out());
        double converted = Double.parseDouble(
                Tool.run("reward", outcome, "--message", "Q", "--answer", "A", "--quantization", "Q8_0").succeeded().out());
        assertEquals(exact, converted, 0.1);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "x|expected a JSON object",
        "[]|expected a JSON object, found START_ARRAY",
        "{}|expected at least one message, found none",
        "{\"messages\": []}|expected at least one message, found none",
        "{\"messages\": 3}|expected an array of messages, found VALUE_NUMBER_INT",
        "{\"messages\": [3]}|expected a message, found VALUE_NUMBER_INT",
        "{\"messages\": [{\"role\": \"user\"}]}|found one without content",
        "{\"messages\": [{\"role\": \"bot\", \"content\": \"\"}]}|expected the role system, user, assistant or tool, found bot",
        "{\"messages\": [{\"role\": 1}]}|expected a string as role of a message",
        "{\"messages\": [{\"name\": \"x\"}]}|found the field name",
        "{\"prompt\": \"x\"}|expected the fields messages and steps, found the field prompt",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"steps\": [\"a\"]}|there are steps, but no --steps",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]} 1|expected one JSON object"
    })
    void aWrongLineIsNamedAndThoseBeforeAreAnswered(String line, String expected) {
        Tool.Result result = Tool.runWith(LINE + line + "\n" + LINE, "reward", outcome);
        String message = result.failure();
        assertTrue(message.contains("standard input, line 2: ") && message.contains(expected), message);
        assertEquals(1, result.out().lines().count(), result.out());
    }

    @Test
    void aConversationThatDoesNotFitIsNamed() {
        String longer = LINE.replace("\"Q\"", "\"" + "word ".repeat(2000) + "\"");
        Tool.Result result = Tool.runWith(LINE + longer + LINE, "reward", outcome);
        assertTrue(result.failure().matches(".*line 2: the prompt has \\d+ tokens, but the context holds 1024.*"), result.err());
        assertEquals(1, result.out().lines().count());
        assertTrue(Tool.runWith(LINE + longer, "reward", process, "--steps").failure().contains("line 2: the prompt has "));
        assertTrue(Tool.runWith("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", "reward", process, "--steps").failure()
                .contains("line 1: expected a question and an answer"));
        String blank = LINE.replace("\"A\"", "\" \"");
        assertTrue(Tool.runWith(blank, "reward", process, "--steps").failure().contains("line 1: there are no steps"));
    }
}
