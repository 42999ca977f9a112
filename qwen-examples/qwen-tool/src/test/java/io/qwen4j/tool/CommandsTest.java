package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.qwen4j.WeightType;
import io.qwen4j.tinyqwen.TinyQwen;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The contract of every command that computes, on the bundled model. */
class CommandsTest {
    private static final String QUESTION = "What is the capital of Japan?";
    private static final String TOKYO = "The capital of Japan is Tokyo.";
    private static final String PROMPT = "<|im_start|>system\n"
            + "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            + "<|im_start|>user\n" + QUESTION + "<|im_end|>\n<|im_start|>assistant\n";

    @TempDir
    Path temporary;

    private static String ids(String text) throws IOException {
        String array = Tool.runWith(Json.quote(text) + "\n", "tokenize").succeeded().out();
        return array.strip().replaceAll("[\\[\\]]", "");
    }

    /** The scalar fields of a JSON object. */
    private static Map<String, String> fields(String text) throws IOException {
        Map<String, String> fields = new LinkedHashMap<>();
        try (JsonParser json = new JsonFactory().createParser(text)) {
            assertEquals(JsonToken.START_OBJECT, json.nextToken(), text);
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                json.nextToken();
                fields.put(name, json.getText());
                json.skipChildren();
            }
        }
        return fields;
    }

    private static double[] array(String line) {
        assertTrue(line.startsWith("[") && line.endsWith("]"), line);
        return Arrays.stream(line.substring(1, line.length() - 1).split(",")).mapToDouble(Double::parseDouble).toArray();
    }

    @ParameterizedTest
    @ValueSource(strings = {"auto", "java"})
    void chatAnswersOneMessage(String backend) {
        Tool.Result result = Tool.run("chat", "--message", QUESTION, "--backend", backend).succeeded();
        assertEquals(TOKYO + "\n", result.out());
        assertEquals("", result.err(), "nothing but the answer when piped");
    }

    @Test
    void chatAnswersEachLineAndRemembers() {
        String input = QUESTION + "\n\nWhere is Peru?\n/reset\n" + QUESTION + "\n/quit\nHello!\n";
        assertEquals(TOKYO + "\nPeru is in South America.\n" + TOKYO + "\n", Tool.runWith(input, "chat", "--greedy").succeeded().out());
    }

    @Test
    void aLongChatForgetsItsOldestTurns() {
        String input = (QUESTION + "\n").repeat(12);
        assertEquals((TOKYO + "\n").repeat(12), Tool.runWith(input, "chat", "--greedy", "--context", "150").succeeded().out());
    }

    @Test
    void chatTellsItsFiguresOnATerminalOnly() {
        Tool.Result result = Tool.runOnTerminal("chat", "--message", QUESTION).succeeded();
        assertEquals(TOKYO + "\n", result.out());
        assertTrue(result.err().contains(" tokens/s; prompt of "), result.err());
    }

    @Test
    void generatePrintsTheContinuationOnly() throws Exception {
        assertEquals(TOKYO, Tool.run("generate", "--prompt", PROMPT, "--greedy").succeeded().out());
        Path file = Files.writeString(temporary.resolve("p.txt"), PROMPT);
        assertEquals(TOKYO, Tool.run("generate", "--prompt-file", file.toString(), "--greedy").succeeded().out());
        assertEquals(TOKYO, Tool.runWith(PROMPT, "generate", "tiny-qwen", "--prompt-file", "-", "--greedy").succeeded().out());
        assertEquals(TOKYO, Tool.run("generate", "--ids", ids(PROMPT), "--greedy").succeeded().out());
        assertEquals("The capital", Tool.run("generate", "--prompt", PROMPT, "--greedy", "--max-tokens", "2").succeeded().out());
        assertEquals("The capital of ", Tool.run("generate", "--prompt", PROMPT, "--greedy", "--stop", "Japan").succeeded().out());
    }

    @Test
    void generatePrintsIds() throws Exception {
        String expected = ids(TOKYO).replace(",", " ") + " 3970\n";
        assertEquals(expected, Tool.run("generate", "--prompt", PROMPT, "--greedy", "--print-ids").succeeded().out());
        assertEquals(
                expected.substring(0, expected.indexOf(' ')) + "\n",
                Tool.run("generate", "--prompt", PROMPT, "--greedy", "--print-ids", "--max-tokens", "1").succeeded().out());
    }

    @Test
    void idsNeedNoTokenizerFiles() throws Exception {
        Path model = Tool.copy(TinyQwen.directory(), temporary.resolve("m"), "tokenizer.json", "tokenizer_config.json");
        String expected = ids(TOKYO).replace(",", " ") + " 3970\n";
        assertEquals(expected, Tool.run("generate", model.toString(), "--ids", ids(PROMPT), "--greedy").succeeded().out());
        assertEquals(expected, Tool.run("generate", model.toString(), "--ids", ids(PROMPT), "--greedy", "--print-ids").succeeded().out());
        Tool.run("logits", model.toString(), "--ids", "1,2", "--output", temporary.resolve("l").toString()).succeeded();
        Tool.run("generate", model.toString(), "--prompt", "a").failure();
        Tool.run("chat", model.toString(), "--message", "a").failure();
    }

    @Test
    void aSeedRepeatsAnAnswer() {
        String[] words = {
            "generate", "--prompt", "Once upon a time", "--temperature", "1.5", "--top-p", "1", "--top-k", "0",
            "--max-tokens", "20", "--seed", "7"
        };
        String first = Tool.run(words).succeeded().out();
        assertEquals(first, Tool.run(words).succeeded().out());
        words[words.length - 1] = "8";
        assertFalse(first.equals(Tool.run(words).succeeded().out()));
    }

    @Test
    void aBiasForbidsAToken() throws Exception {
        String first = Tool.run("generate", "--prompt", PROMPT, "--greedy", "--print-ids", "--max-tokens", "1").succeeded().out().strip();
        String bias = first + "=-inf";
        String other = Tool.run("generate", "--prompt", PROMPT, "--greedy", "--print-ids", "--max-tokens", "1", "--logit-bias", bias)
                .succeeded()
                .out()
                .strip();
        assertFalse(first.equals(other));
    }

    @Test
    void logitsAreASafetensorsFile() throws Exception {
        Path file = temporary.resolve("l.safetensors");
        assertEquals("", Tool.run("logits", "--ids", "3969,5,6", "--output", file.toString(), "--backend", "java").succeeded().out());
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        int header = (int) bytes.getLong();
        String json = new String(bytes.array(), 8, header, StandardCharsets.UTF_8);
        assertEquals("{\"logits\":{\"dtype\":\"F32\",\"shape\":[3,4096],\"data_offsets\":[0," + 3 * 4096 * 4 + "]}}", json.strip());
        assertEquals(0, header % 8);
        assertEquals(8 + header + 3 * 4096 * 4, bytes.capacity());
        for (bytes.position(8 + header); bytes.hasRemaining(); ) {
            assertTrue(Float.isFinite(bytes.getFloat()));
        }
        Tool.run("logits", "--ids", "4096", "--output", temporary.resolve("none").toString()).failure();
        try (Stream<Path> files = Files.list(temporary)) {
            assertEquals(List.of(file), files.toList(), "a failed run leaves no file");
        }
    }

    @Test
    void perplexityIsTheSameOnEveryBackend() throws Exception {
        Path file = Files.writeString(temporary.resolve("t.txt"), "Once upon a time there was a brave lion named Tom. ".repeat(6));
        int tokens = ids(Files.readString(file)).split(",").length;
        String line = Tool.run("perplexity", "--file", file.toString(), "--backend", "java").succeeded().out();
        assertTrue(line.matches("perplexity \\d+\\.\\d+ tokens " + (tokens - 1) + "\n"), line);
        double java = Double.parseDouble(line.split(" ")[1]);
        double best = Double.parseDouble(Tool.run("perplexity", "--file", file.toString()).succeeded().out().split(" ")[1]);
        assertEquals(java, best, 0.01 * java);

        Map<String, String> json = fields(Tool.run("perplexity", "--file", file.toString(), "--context", "16", "--json").succeeded().out());
        int windows = (tokens + 15) / 16;
        assertEquals(String.valueOf(tokens - windows), json.get("tokens"));
        assertEquals(
                Double.parseDouble(json.get("perplexity")),
                Math.exp(-Double.parseDouble(json.get("log_probability")) / Double.parseDouble(json.get("tokens"))),
                1e-9);
        Files.writeString(file, "");
        assertTrue(Tool.run("perplexity", "--file", file.toString()).failure().contains("at least 2 tokens"));
        assertTrue(Tool.run("perplexity", "--file", temporary.resolve("none").toString()).failure().contains("no such file"));
    }

    @Test
    void inspectTellsHowPositionsAreExtended() throws Exception {
        Path model = Tool.copy(TinyQwen.directory(), temporary.resolve("m"));
        Path config = model.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceFirst("\\{", """
                {"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024},
                 "dual_chunk_attention_config": {"chunk_size": 768, "local_size": 64, "original_max_position_embeddings": 1024},"""));
        String text = Tool.run("inspect", model.toString()).succeeded().out();
        assertTrue(text.contains("\npositions   YaRN with factor 4 from 1024 tokens, dual chunks with distances up to 768 tokens, 64 local,"
                + " scaled from 1024 tokens\n"), text);
    }

    @Test
    void inspectTellsHowWeightsAreQuantized() throws Exception {
        Path model = Tool.copy(TinyQwen.directory(), temporary.resolve("m"));
        Path config = model.resolve("config.json");
        String good = Files.readString(config);
        for (String[] stated : new String[][] {
            {"{\"quant_method\": \"gptq\", \"bits\": 8, \"group_size\": 128, \"desc_act\": true}",
                "GPTQ, 8 bits, groups of 128, act order"},
            {"{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": -1, \"version\": \"gemm\"}", "AWQ, 4 bits, a row is one group"}
        }) {
            Files.writeString(config, good.replaceFirst("\\{", "{\"quantization_config\": " + stated[0] + ","));
            String text = Tool.run("inspect", model.toString()).succeeded().out();
            assertTrue(text.contains("\nweights     " + stated[1] + "\n"), text);
            assertEquals(stated[1], fields(Tool.run("inspect", "--json", model.toString()).succeeded().out()).get("quantization"));
        }
        Files.writeString(config, good.replaceFirst("\\{", "{\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 3},"));
        String failure = Tool.run("inspect", model.toString()).failure();
        assertTrue(failure.contains("awq with bits 3 is not supported, 4 is"), failure);
    }

    @Test
    void readOnlyTypesAreNoChoice() {
        for (String command : List.of("quantize", "synthesize")) {
            assertFalse(Tool.run("help", command).succeeded().out().contains("INT4"));
        }
        String output = temporary.resolve("q.gguf").toString();
        String failure = Tool.run("quantize", "tiny-qwen", "--type", "INT4_G128", "--output", output).wrongUsage();
        assertTrue(failure.contains("--type must be one of F32, F16") && !failure.contains("IQ4_XS, INT4"), failure);
    }

    @Test
    void inspectListsTensors() throws Exception {
        String text = Tool.run("inspect").succeeded().out();
        assertTrue(text.contains("model.embed_tokens.weight") && text.contains("[4096, 256]") && text.contains("BF16"), text);
        assertTrue(text.contains("\npositions   plain\nweights     not quantized\n"), text);
        Map<String, String> json = fields(Tool.run("inspect", "--json").succeeded().out());
        assertEquals("plain", json.get("positions"));
        assertEquals("not quantized", json.get("quantization"));
        assertEquals("safetensors", json.get("format"));
        assertEquals("4198656", json.get("parameters"));
    }

    @ParameterizedTest
    @EnumSource(
            value = WeightType.class,
            names = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"})
    void quantizedFilesAnswer(WeightType type) throws Exception {
        Path file = temporary.resolve("q.gguf");
        Tool.Result quantized =
                Tool.run("quantize", "tiny-qwen", "--type", type.name().toLowerCase(Locale.ROOT), "--output", file.toString()).succeeded();
        assertEquals("", quantized.out() + quantized.err());
        assertEquals("GGUF", new String(Files.readAllBytes(file), 0, 4, StandardCharsets.US_ASCII));
        assertEquals(TOKYO, Tool.run("generate", file.toString(), "--prompt", PROMPT, "--greedy").succeeded().out());
        assertEquals(TOKYO + "\n", Tool.run("chat", file.toString(), "--message", QUESTION, "--greedy").succeeded().out());
        String inspected = Tool.run("inspect", file.toString()).succeeded().out();
        assertTrue(inspected.contains("format      gguf") && inspected.contains("weights     by type of tensor"), inspected);
        assertTrue(inspected.contains(type.name()), inspected);
        assertEquals("[" + ids(PROMPT) + "]\n", Tool.runWith(Json.quote(PROMPT), "tokenize", file.toString()).succeeded().out());
    }

    @Test
    void quantizingIntoNowhereFails() {
        Tool.run("quantize", "tiny-qwen", "--type", "Q8_0", "--output", temporary.resolve("none/q.gguf").toString()).failure();
    }

    /** The smallest shape, 0.35 GB. */
    @Test
    void synthesizedFilesHaveTheShapeAndRun() throws Exception {
        Path file = temporary.resolve("s.gguf");
        Tool.Result written = Tool.run("synthesize", "--shape", "0.5b", "--type", "q4_0", "--output", file.toString()).succeeded();
        assertEquals("", written.out() + written.err());
        String inspected = Tool.run("inspect", file.toString()).succeeded().out();
        assertTrue(inspected.contains("parameters  494,032,768\n"), inspected);
        assertTrue(inspected.contains("types       F32 x 121, Q4_0 x 168, Q8_0 x 1\n"), inspected);
        String[] generate = {"generate", file.toString(), "--prompt", "the", "--max-tokens", "1", "--context", "32", "--print-ids"};
        assertTrue(!Tool.run(generate).succeeded().out().isBlank());
        String failure = Tool.run("synthesize", "--shape", "72B", "--type", "F32", "--output", temporary.toString()).failure();
        assertTrue(failure.contains("is a directory"), failure);
    }

    @Test
    void benchReportsItsFigures() throws Exception {
        String[] words = {"bench", "--prompt-tokens", "32", "--generate-tokens", "8", "--depth", "16", "--repetitions", "2", "--json"};
        Map<String, String> json = fields(Tool.run(words).succeeded().out());
        for (String key : List.of(
                "prefill_tokens_per_second", "decode_tokens_per_second", "decode_tokens_per_second_min", "decode_tokens_per_second_max",
                "time_to_first_token_seconds", "load_seconds", "peak_rss_bytes")) {
            assertTrue(json.containsKey(key), key + " in " + json);
        }
        assertTrue(Double.parseDouble(json.get("decode_tokens_per_second")) > 0);
        assertTrue(Double.parseDouble(json.get("load_seconds")) > 0);
        String table = Tool.run(Arrays.copyOf(words, words.length - 1)).succeeded().out();
        assertTrue(table.contains("decode       8 tokens at depth 16: "), table);
        assertEquals("0", json.get("drafted_tokens"));
        // Random ids never come twice, so nothing of the prompt is foreseen; but the answer soon repeats itself.
        String ahead = Tool.run("bench", "--prompt-tokens", "0", "--generate-tokens", "200", "--prompt-lookup", "7").succeeded().out();
        assertTrue(ahead.contains("tokens computed ahead came true"), ahead);
        assertTrue(Tool.run("bench", "--prompt-lookup", "17").wrongUsage().contains("0 to 16"));
        assertTrue(Tool.run("bench", "--prompt-tokens", "2000").failure().contains("but the context holds 1024"));
    }

    @Test
    void benchDecodesSeveralSequencesAtOnce() throws Exception {
        String[] words = {
            "bench", "--prompt-tokens", "0", "--generate-tokens", "8", "--depth", "16", "--sequences", "3", "--repetitions", "1", "--json"
        };
        Map<String, String> json = fields(Tool.run(words).succeeded().out());
        assertEquals("3", json.get("sequences"));
        double step = Double.parseDouble(json.get("decode_step_seconds"));
        double slowest = Double.parseDouble(json.get("decode_slowest_step_seconds"));
        assertTrue(step > 0 && slowest >= step, json::toString);
        assertTrue(Double.parseDouble(json.get("decode_tokens_per_second")) > 0, json::toString);
        String table = Tool.run(Arrays.copyOf(words, words.length - 1)).succeeded().out();
        assertTrue(table.contains("decode       8 tokens of each of 3 sequences at depth 16: "), table);
    }

    @Test
    void sparsePrefillIsCalibratedMeasuredAndUsed() throws Exception {
        Path text = Files.writeString(temporary.resolve("t.txt"), filler());
        Path budgets = temporary.resolve("b.json");
        String[] calibrate = {
            "calibrate-sparse", "--file", text.toString(), "--output", budgets.toString(), "--tokens", "900", "--recall", "0.9"
        };
        String line = Tool.run(calibrate).succeeded().out();
        assertTrue(line.matches("4 layers of 4 heads, 900 tokens: columns \\d+ \\(at most \\d+\\), diagonals .* slice\n"), line);
        assertTrue(Files.readString(budgets).startsWith("[\n{\"0\": [\"vertical_and_slash\", "), Files.readString(budgets));

        String[] bench = {
            "bench", "--sparse", "--sparse-prefill", budgets.toString(), "--file", text.toString(), "--prompt-tokens", "300,900"
        };
        String[] rows = Tool.run(bench).succeeded().out().split("\n");
        assertEquals(4, rows.length, "two lines of titles, two lengths");
        String[] longer = rows[3].strip().split("\\s+");
        assertEquals("900", longer[0]);
        assertTrue(Double.parseDouble(longer[2]) >= 0.9, rows[3]);
        String json = Tool.run(Stream.concat(Stream.of(bench), Stream.of("--json", "--follow", "sparse")).toArray(String[]::new))
                .succeeded().out();
        assertTrue(json.startsWith("{\"follow\":\"sparse\",\"lengths\":[{\"tokens\":300,\"mean_recall\":"), json);
        String random = Tool.run("bench", "--sparse", "--sparse-prefill", "30,100", "--prompt-tokens", "300")
                .succeeded().out();
        assertEquals(3, random.split("\n").length, random);

        String prompt = PROMPT.replace(QUESTION, filler().substring(0, 1500) + QUESTION);
        String[] generate = {"generate", "--prompt", prompt, "--greedy", "--max-tokens", "20"};
        String dense = Tool.run(generate).succeeded().out();
        String all = Tool.run(Stream.concat(
                Stream.of(generate), Stream.of("--sparse-prefill", "9999,9999", "--sparse-threshold", "100")).toArray(String[]::new))
                .succeeded().out();
        assertEquals(dense, all);

        assertTrue(Tool.run("generate", "--prompt", "a", "--sparse-prefill", "auto").failure()
                .contains("sparse_attention_config.json: sparse prefill was asked for"));
        assertTrue(Tool.run("bench", "--sparse", "--sparse-prefill", "30,100", "--file", text.toString(), "--prompt-tokens", "64K")
                .failure().contains("65536 tokens are needed for these measurements, the text has"));
        assertTrue(Tool.run("calibrate-sparse", "--file", text.toString(), "--output", budgets.toString(), "--tokens", "99999").failure()
                .contains("--tokens 99999 were asked for, the text has"));
    }

    @Test
    void passKeysAreFoundWithinTheTrainingLength() {
        String[] lines = Tool.run("passkey", "--lengths", "256,512", "--depths", "3", "--trials", "1").succeeded().out().split("\n");
        assertTrue(lines[lines.length - 1].endsWith("100.0 %"), String.join("\n", lines));
        String json = Tool.run("passkey", "--lengths", "300", "--depths", "1", "--trials", "2", "--modes",
                        "plain,yarn,dual-chunk,dual-chunk+yarn", "--json")
                .succeeded().out();
        for (String mode : List.of("plain", "yarn", "dual-chunk", "dual-chunk+yarn")) {
            assertTrue(json.contains("{\"mode\":\"" + mode + "\""), json);
        }
        assertTrue(Tool.run("passkey", "--lengths", "40").failure().contains("needs at least"));
    }

    @Test
    void positionsCanBeExtended() {
        String[] generate = {"generate", "--prompt", PROMPT, "--greedy", "--max-tokens", "20"};
        String plain = Tool.run(generate).succeeded().out();
        for (String extension : List.of("--yarn 4 --yarn-mode auto", "--dual-chunk 768,64", "--yarn-mode off", "--dual-chunk off")) {
            String[] all = Stream.concat(Stream.of(generate), Stream.of(extension.split(" "))).toArray(String[]::new);
            assertEquals(plain, Tool.run(all).succeeded().out(), extension);
        }
        assertTrue(Tool.run("generate", "--prompt", "a", "--yarn-mode", "auto").failure().contains("without a factor"));
    }

    @Test
    void automaticYarnTakesTheFactorOfTheFiles() throws Exception {
        Path model = Tool.copy(TinyQwen.directory(), temporary.resolve("m"));
        Path config = model.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceFirst("\\{", """
                {"rope_scaling": {"type": "yarn", "factor": 3.3, "original_max_position_embeddings": 1024},"""));
        Map<String, String> positions = Map.of(
                "--threads 2", "YaRN with factor 3.3 from 1024 tokens",
                "--yarn-mode auto", "YaRN with factor 3.3 from 1024 tokens; YaRN only in requests of more than 1024 tokens",
                "--yarn-mode off", "plain",
                "--yarn 1.1 --yarn-original 1k", "YaRN with factor 1.1 from 1024 tokens");
        for (Map.Entry<String, String> entry : positions.entrySet()) {
            String[] passkey = {"passkey", model.toString(), "--lengths", "200", "--depths", "1", "--trials", "1"};
            String[] all = Stream.concat(Stream.of(passkey), Stream.of(entry.getKey().split(" "))).toArray(String[]::new);
            String text = Tool.run(all).succeeded().out();
            assertTrue(text.contains("\npositions  " + entry.getValue() + "\n"), entry.getKey() + ": " + text);
        }
    }

    @Test
    void passKeysBeyondTheTrainingLengthAreFoundWithExtendedPositions() throws Exception {
        String json = Tool.run(
                        "passkey", "--lengths", "4K", "--depths", "3", "--trials", "1", "--modes", "plain,dual-chunk+yarn", "--json")
                .succeeded().out();
        double[] retrieval = Pattern.compile("\"retrieval\":([0-9.]+)").matcher(json).results()
                .mapToDouble(match -> Double.parseDouble(match.group(1)))
                .toArray();
        assertEquals(2, retrieval.length, json);
        assertTrue(retrieval[0] < 0.5, json);
        assertEquals(1, retrieval[1], json);
    }

    /** Sentences that do not come twice in the same order. */
    private static String filler() {
        String[] who = {"lion", "bird", "girl", "king", "fish", "boy"};
        String[] what = {"saw", "found", "liked", "took"};
        StringBuilder text = new StringBuilder();
        java.util.Random random = new java.util.Random(1);
        for (int i = 0; i < 220; i++) {
            text.append("The ").append(who[random.nextInt(who.length)]).append(' ').append(what[random.nextInt(what.length)])
                    .append(" the ").append(who[random.nextInt(who.length)]).append(". ");
        }
        return text.toString();
    }

    @ParameterizedTest
    @CsvSource({"mean", "last"})
    void embeddingsHaveLengthOne(String pooling) {
        String[] lines = Tool.run("embed", "tiny-qwen", "a cat", "a dog", "--pooling", pooling).succeeded().out().split("\n");
        assertEquals(2, lines.length);
        for (String line : lines) {
            double[] vector = array(line);
            assertEquals(256, vector.length);
            assertEquals(1, Arrays.stream(vector).map(x -> x * x).sum(), 1e-4);
        }
        String[] fromInput = Tool.runWith("a cat\na dog\n", "embed", "--pooling", pooling).succeeded().out().split("\n");
        for (int i = 0; i < 2; i++) {
            assertArrayEquals(array(lines[i]), array(fromInput[i]), 1e-5);
        }
        assertTrue(Tool.runWith("a\n\n", "embed").failure().contains("line 2"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"chat --message a", "generate --prompt a", "logits --ids 1 --output x", "inspect", "bench", "embed"})
    void damagedModelsAreRefusedInOneLine(String line) throws Exception {
        Path model = Tool.copy(TinyQwen.directory(), temporary.resolve("m"));
        byte[] weights = Files.readAllBytes(model.resolve("model.safetensors"));
        Files.write(model.resolve("model.safetensors"), Arrays.copyOf(weights, weights.length - 1));
        String[] words = line.split(" ");
        String[] withModel = new String[words.length + 1];
        withModel[0] = words[0];
        withModel[1] = model.toString();
        System.arraycopy(words, 1, withModel, 2, words.length - 1);
        String message = Tool.run(withModel).failure();
        assertTrue(message.contains("model.safetensors"), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"chat", "generate --prompt a", "tokenize", "render", "inspect", "bench", "embed"})
    void aMissingModelIsNamed(String line) {
        String[] words = (line + " " + temporary.resolve("no-such-model")).split(" ");
        assertTrue(Tool.runWith("\"a\"\n", words).failure().contains("no-such-model: no such model"), line);
    }

    @Test
    void aPromptThatDoesNotFitIsRefused() {
        assertTrue(Tool.run("generate", "--prompt", PROMPT, "--context", "8").failure().contains("context holds 8"));
    }

    @Test
    void everyInstructionSetOfTheMachineAnswers() {
        assertEquals(TOKYO + "\n", Tool.run("chat", "--message", QUESTION, "--isa", "baseline", "--threads", "1").succeeded().out());
        for (String set : List.of("avx2", "avx512", "vnni")) {
            Tool.Result result = Tool.run("chat", "--message", QUESTION, "--isa", set, "--threads", "1");
            if (result.status() == 0) {
                assertEquals(TOKYO + "\n", result.out(), set);
            } else {
                assertTrue(result.failure().contains("this machine has"), result.err());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"Q8_0,f32", "Q4_0,bf16", "Q4_K,f16", "Q8_0,int8"})
    void quantizesWhileLoading(String type, String kvCache) {
        assertEquals(
                TOKYO + "\n",
                Tool.run("chat", "--message", QUESTION, "--quantization", type, "--kv-cache", kvCache).succeeded().out());
    }
}
