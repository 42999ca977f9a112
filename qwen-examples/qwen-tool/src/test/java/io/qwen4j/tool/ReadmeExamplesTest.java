package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ControlTokens;
import io.qwen4j.DualChunk;
import io.qwen4j.FinishReason;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.ModelFiles;
import io.qwen4j.Pooling;
import io.qwen4j.ProgressListener;
import io.qwen4j.QwenModel;
import io.qwen4j.RewardModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.Score;
import io.qwen4j.SparseAttention;
import io.qwen4j.SparseCalibration;
import io.qwen4j.SparsePrefill;
import io.qwen4j.ToolCall;
import io.qwen4j.ToolSpec;
import io.qwen4j.WeightType;
import io.qwen4j.Yarn;
import io.qwen4j.filter.Dimension;
import io.qwen4j.filter.FilterFiles;
import io.qwen4j.filter.FilterListener;
import io.qwen4j.filter.FilterSummary;
import io.qwen4j.filter.LengthLimit;
import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Rubric;
import io.qwen4j.filter.Scorer;
import io.qwen4j.filter.Threshold;
import io.qwen4j.tinyqwen.TinyQwen;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs the examples of the README: each of its Java blocks is in this file word for word, with small models for the large ones. */
class ReadmeExamplesTest {
    private static final String LARGE = "Path.of(\"Qwen2.5-7B-Instruct\")";
    private static final String LARGE_REWARD = "Path.of(\"Qwen2.5-Math-RM-72B\")";
    private static final String LARGE_PROCESS = "Path.of(\"Qwen2.5-Math-PRM-7B\")";
    private static final String TOKYO = "The capital of Japan is Tokyo.";

    @TempDir
    Path temporary;

    private final PrintStream standardOut = System.out;
    private final ByteArrayOutputStream printed = new ByteArrayOutputStream();

    @BeforeEach
    void catchOutput() {
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void restoreOutput() {
        System.setOut(standardOut);
    }

    private String printed() {
        String text = printed.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
        printed.reset();
        return text;
    }

    private static String squeeze(String code) {
        return code.replaceAll("\\s+", " ").strip();
    }

    private static List<String> blocks(String readme, String language) {
        List<String> blocks = new ArrayList<>();
        Matcher matcher = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL).matcher(readme);
        while (matcher.find()) {
            blocks.add(matcher.group(1));
        }
        return blocks;
    }

    private static Path root() {
        // Maven runs tests in the module's directory, an IDE may run them in the project's.
        Path here = Path.of("").toAbsolutePath();
        return here.endsWith("qwen-tool") ? here.getParent().getParent() : here;
    }

    @Test
    void everyJavaBlockIsInThisFile() throws Exception {
        String source = squeeze(Files.readString(
                root().resolve("qwen-examples/qwen-tool/src/test/java/io/qwen4j/tool/ReadmeExamplesTest.java")));
        List<String> blocks = blocks(Files.readString(root().resolve("README.md")), "java");
        assertTrue(blocks.size() >= 10, "found " + blocks.size());
        for (String block : blocks) {
            String small = block.replace(LARGE, "TinyQwen.directory()").replace(LARGE_REWARD, "outcome").replace(LARGE_PROCESS, "process");
            assertTrue(source.contains(squeeze(small)), block);
        }
    }

    @Test
    void everyCommandLineIsUnderstood() throws Exception {
        int lines = 0;
        for (String block : blocks(Files.readString(root().resolve("README.md")), "sh")) {
            for (String line : block.lines().filter(l -> l.startsWith("./qwen ")).toList()) {
                lines++;
                String command = line.substring("./qwen ".length()).split("[<>|#]")[0].strip();
                List<String> words = new ArrayList<>();
                Matcher word = Pattern.compile("\"([^\"]*)\"|(\\S+)").matcher(command);
                while (word.find()) {
                    words.add(word.group(1) == null ? word.group(2) : word.group(1));
                }
                Command known = Main.COMMANDS.stream().filter(c -> c.name().equals(words.get(0))).findFirst().orElse(null);
                if (known == null) {
                    Tool.run(words.toArray(String[]::new)).succeeded();
                } else {
                    List<Option> options = new ArrayList<>(known.options());
                    options.addAll(CommonFlags.OPTIONS);
                    Arguments.parse(options, words.subList(1, words.size()));
                }
            }
        }
        assertTrue(lines >= 10, "found " + lines);
    }

    @Test
    void promptLookup() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            GenerationOptions options = GenerationOptions.builder()
                    .sampling(SamplingOptions.GREEDY)
                    .promptLookup(7)                                        // at most 7 tokens ahead in a step
                    .build();
            String text = "The lion saw the bird. The bird saw the lion. ".repeat(2);
            GenerationResult answer = model.submit(new GenerationRequest.Text(text, ControlTokens.PLAIN, options)).await();
            System.out.println(answer.text());
            System.out.println(model.stats().acceptedTokens() + " of " + model.stats().draftedTokens() + " came true");
            String[] lines = printed().split("\n");
            assertTrue(lines[lines.length - 1].matches("[0-9]+ of [0-9]+ came true"), lines[lines.length - 1]);
        }
    }

    @Test
    void fiveLines() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            model.chat("What is the capital of Japan?").text().forEach(System.out::print);
        }
        assertEquals(TOKYO, printed());
    }

    @Test
    void bundledModel() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            System.out.println(model.chat("What is the capital of Japan?").await().text());
        }
        assertEquals(TOKYO + "\n", printed());
    }

    @Test
    void conversation() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            List<Message> messages = new ArrayList<>();
            messages.add(Message.system("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."));
            messages.add(Message.user("What is the capital of Japan?"));

            GenerationResult answer = model.submit(new GenerationRequest.Chat(messages)).await();
            System.out.println(answer.text() + " (" + answer.usage().completionTokens() + " tokens)");

            messages.add(Message.assistant(answer.text()));
            messages.add(Message.user("Where is Peru?"));
            System.out.println(model.submit(new GenerationRequest.Chat(messages)).await().text());
        }
        String text = printed();
        assertTrue(text.startsWith(TOKYO + " (8 tokens)\n"), text);
        assertEquals(2, text.lines().count(), text);
    }

    @Test
    void iterator() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            Generation generation = model.chat("What is the capital of Japan?");
            for (Iterator<GenerationEvent> events = generation.events(); events.hasNext(); ) {
                GenerationEvent event = events.next();
                if (event instanceof GenerationEvent.TextDelta delta) {
                    System.out.print(delta.text());
                } else if (event instanceof GenerationEvent.Finished end) {
                    System.out.println(" [" + end.reason() + ", " + end.usage().completionTokens() + " tokens]");
                }
            }
        }
        assertEquals(TOKYO + " [STOP, 8 tokens]\n", printed());
    }

    @Test
    void publisher() throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            model.chat("What is the capital of Japan?").publisher().subscribe(new Flow.Subscriber<>() {
                @Override
                public void onSubscribe(Flow.Subscription subscription) {
                    subscription.request(Long.MAX_VALUE);   // or a few at a time; cancel() stops the engine
                }

                @Override
                public void onNext(GenerationEvent event) {
                    if (event instanceof GenerationEvent.TextDelta delta) {
                        System.out.print(delta.text());
                    }
                }

                @Override
                public void onError(Throwable error) {
                    error.printStackTrace();
                }

                @Override
                public void onComplete() {
                    done.countDown();
                }
            });
            done.await();
        }
        assertEquals(TOKYO, printed());
    }

    @Test
    void futureAndCallback() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            CompletableFuture<String> capital = model.chat("What is the capital of Japan?").result().thenApply(GenerationResult::text);
            CompletableFuture<GenerationResult> place = model.chat("Where is Peru?").onEvent(event -> {
                if (event instanceof GenerationEvent.TextDelta delta) {
                    System.out.print(delta.text());
                }
            });
            assertEquals(TOKYO, capital.join());
            assertEquals("Peru is in South America.", place.join().text());
        }
        assertEquals("Peru is in South America.", printed());
    }

    @Test
    void cancel() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            Generation generation = model.chat("Tell me a story about a lion.");
            generation.cancel();                                          // from any thread, at any time
            GenerationResult soFar = generation.await();                  // what came until then
            System.out.println(soFar.finishReason());                     // CANCELLED
            assertTrue(soFar.finishReason() == FinishReason.CANCELLED || soFar.finishReason() == FinishReason.STOP);
        }
        assertTrue(!printed().isEmpty());
    }

    @Test
    void tools() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            ToolSpec thermometer = new ToolSpec("get_current_temperature", "Get the current temperature of a city.", """
                    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}""");
            List<Message> messages = new ArrayList<>(List.of(Message.user("How warm is it in Oslo?")));

            GenerationResult answer =
                    model.submit(new GenerationRequest.Chat(messages, List.of(thermometer), GenerationOptions.DEFAULT)).await();
            messages.add(Message.assistant(answer.text(), answer.toolCalls()));
            for (ToolCall call : answer.toolCalls()) {
                System.out.println(call.name() + " " + call.argumentsJson());  // get_current_temperature {"city": "Oslo"}
                messages.add(Message.tool("{\"temperature\": 12}"));
            }
            System.out.println(
                    model.submit(new GenerationRequest.Chat(messages, List.of(thermometer), GenerationOptions.DEFAULT)).await().text());
        }
        assertEquals("get_current_temperature {\"city\": \"Oslo\"}\nIt is 12 degrees in Oslo.\n", printed());
    }

    @Test
    void sampling() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            SamplingOptions sampling = model.defaultSampling().toBuilder()  // what generation_config.json says
                    .temperature(0.3f)
                    .topP(0.9f)
                    .seed(42L)
                    .build();
            GenerationOptions options = GenerationOptions.builder()
                    .sampling(sampling)
                    .maxTokens(100)
                    .stop(List.of("\n\n"))
                    .logProbabilities(3)                                    // of each token and its three likeliest alternatives
                    .build();
            GenerationResult answer = model.submit(
                    new GenerationRequest.Chat(List.of(Message.user("What is the capital of Japan?")), List.of(), options)).await();
            System.out.println(answer.logProbabilities().get(0).alternatives());
            assertEquals(TOKYO, answer.text());
            assertEquals(3, answer.logProbabilities().get(0).alternatives().size());
        }
    }

    @Test
    void embeddingsAndScores() {
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            List<float[]> vectors = model.embed(List.of("a cat", "a dog", "the yen"), Pooling.MEAN);   // of length 1
            float similarity = 0;
            for (int i = 0; i < vectors.get(0).length; i++) {
                similarity += vectors.get(0)[i] * vectors.get(1)[i];
            }
            System.out.println(similarity);

            Score likely = model.score("The capital of Japan is Tokyo.");
            Score unlikely = model.score("Tokyo capital is Japan The of.");
            System.out.println(likely.perplexity() < unlikely.perplexity());
            assertTrue(similarity > 0 && similarity <= 1.001f, "similarity " + similarity);
        }
        assertTrue(printed().endsWith("true\n"));
    }

    @Test
    void rewardModels() throws Exception {
        Path outcome = RewardFiles.outcome(temporary.resolve("outcome"));
        Path process = RewardFiles.process(temporary.resolve("process"));
        String question = "What is 12 times 12?";
        try (RewardModel model = RewardModel.load(outcome)) {
            double reward = model.score(List.of(
                    Message.system(RewardModel.MATH_SYSTEM_MESSAGE),
                    Message.user(question),
                    Message.assistant("12 times 12 is \\boxed{144}.")));
            System.out.println(reward);                                    // the larger, the better
        }
        try (RewardModel model = RewardModel.load(process)) {
            List<String> steps = List.of("12 times 12 is 12 times 10 plus 12 times 2.", "That is 120 plus 24, so \\boxed{146}.");
            System.out.println(model.scoreSteps(question, steps));         // a probability for each
        }
        assertTrue(printed().matches("-?[0-9.E-]+\n\\[0\\.[0-9E-]+, 0\\.[0-9E-]+\\]\n"));
    }

    @Test
    void qualityFilters() throws Exception {
        String text = "The capital of Japan is Tokyo.";
        Stream<String> documents = Stream.of(text, "Tokyo capital is Japan The of.");
        Path input = Files.writeString(temporary.resolve("documents.jsonl"), "{\"text\": \"" + text + "\"}\n");
        Path output = temporary.resolve("good.jsonl");

        Rubric rubric = Rubric.of(
                new Dimension("facts", "how correct and verifiable its facts are"),
                new Dimension("style", "how clear and well written it is"));
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            QualityFilter filter = QualityFilter.builder(Scorer.instruct(model, rubric, LengthLimit.TRUNCATE))
                    .threshold(Threshold.least("mean", 3.5))
                    .build();
            try (Stream<String> kept = filter.keep(documents)) {            // in their order, eight scored at a time
                kept.forEach(System.out::println);
            }
            FilterSummary summary = filter.run(FilterFiles.builder(input, output).build(), FilterListener.none());
            System.out.println(summary.kept() + " of " + summary.lines() + " lines kept");
        }
        assertTrue(printed().endsWith("1 of 1 lines kept\n"));
        assertTrue(Files.readString(output).startsWith("{\"text\": \"" + text + "\",\"quality\":{\"facts\":"));
    }

    @Test
    void theCommandsOfQualityFiltersWork() throws Exception {
        String block = blocks(Files.readString(root().resolve("README.md")), "sh").stream()
                .filter(b -> b.startsWith("printf"))
                .findFirst()
                .orElseThrow();
        List<String> lines = block.lines().toList();
        Matcher documents = Pattern.compile("'(\\{[^']*)'").matcher(lines.get(0));
        StringBuilder text = new StringBuilder();
        while (documents.find()) {
            text.append(documents.group(1)).append('\n');
        }
        Files.writeString(temporary.resolve("documents.jsonl"), text);
        for (String line : lines.subList(1, lines.size())) {
            List<String> words = new ArrayList<>();
            Matcher word = Pattern.compile("\"([^\"]*)\"|(\\S+)").matcher(line.substring("./qwen ".length()));
            while (word.find()) {
                String plain = word.group(1) == null ? word.group(2) : word.group(1);
                words.add(plain.endsWith(".jsonl") ? temporary.resolve(plain).toString() : plain);
            }
            Tool.run(words.toArray(String[]::new)).succeeded();
        }
        assertEquals(1, Files.readAllLines(temporary.resolve("good.jsonl")).size());
        assertEquals(2, Files.readAllLines(temporary.resolve("rated.jsonl")).size());
    }

    @Test
    void longContext() {
        LoadOptions options = LoadOptions.builder()
                .yarn(Yarn.of(4).auto())                                // four times the length, in requests that need it
                .dualChunk(DualChunk.forTrainingLength(1024))           // for Qwen2.5-Instruct: 32_768
                .kvCache(KvCacheType.INT8)                              // little more than half the memory
                .contextLength(4096)
                .build();
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options)) {
            System.out.println(model.info().positions());
        }
        assertEquals(
                "YaRN with factor 4 from 1024 tokens, dual chunks with distances up to 768 tokens, 64 local; YaRN only in requests of more"
                        + " than 1024 tokens\n",
                printed());
    }

    @Test
    void sparsePrefill() {
        Path budgets = temporary.resolve("budgets.json");
        String text = "The lion saw the bird. The girl found a red fish. ".repeat(40);
        try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
            int[] tokens = model.tokenizer().encode(text);
            SparseCalibration found = SparseAttention.calibrate(     // keeps 95 % of each head's attention weight
                    TinyQwen.directory(), LoadOptions.DEFAULT, tokens, 0.95, budgets, ProgressListener.none());
            System.out.println(found.worstRecall());

            LoadOptions options = LoadOptions.builder()
                    .sparsePrefill(SparsePrefill.of(budgets).withThreshold(512))    // of prompts beyond 512 tokens; the default is 32,768
                    .build();
            assertTrue(Double.parseDouble(printed().strip()) >= 0.95);
            try (QwenModel sparse = QwenModel.load(TinyQwen.directory(), options)) {
                assertTrue(sparse.generate(text).await().usage().promptTokens() > 512);
            }
        }
    }

    @Test
    void quantization() {
        LoadOptions options = LoadOptions.builder()
                .quantization(WeightType.Q4_0)      // converts while loading
                .contextLength(512)
                .threads(2)
                .progress((stage, done, total) -> System.out.println(stage + " " + 100 * done / total + " %"))
                .build();
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options)) {
            System.out.println(model.info().weightBytes());
        }
        List<String> lines = printed().lines().toList();
        assertTrue(lines.get(0).endsWith(" 0 %") && lines.contains("load 100 %"), lines.toString());
        long bytes = Long.parseLong(lines.get(lines.size() - 1));
        assertTrue(bytes > 1_000_000 && bytes < 5_000_000, "weights of " + bytes + " bytes");

        Path output = temporary.resolve("q.gguf");
        ModelFiles.quantize(TinyQwen.directory(), WeightType.Q4_K, output, ProgressListener.none());
        try (QwenModel model = QwenModel.load(output)) {
            assertEquals("qwen2", model.info().architecture());
        }
    }
}
