package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ContextOverflowException;
import io.qwen4j.ControlTokens;
import io.qwen4j.Device;
import io.qwen4j.FinishReason;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelLimits;
import io.qwen4j.Pooling;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.Tokenizer;
import io.qwen4j.ToolSpec;
import io.qwen4j.WeightType;
import io.qwen4j.Yarn;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.testing.GoldenFiles;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The public API on a model with a real tokenizer and random weights: what it says is nonsense, but it must say it consistently. */
@Timeout(120)
class WholeModelTest {
    private static final int D = 64;
    private static final int F = 96;
    private static final int ROWS = 4096;

    @TempDir
    static Path directory;

    private static Path files;
    private static QwenModel model;

    @BeforeAll
    static void load() throws IOException {
        files = GoldenFiles.unpack("tiny-qwen", directory);
        String config = Files.readString(files.resolve("config.json"));
        for (String[] change : new String[][] {
            {"\"hidden_size\": 256", "\"hidden_size\": " + D}, {"\"intermediate_size\": 768", "\"intermediate_size\": " + F},
            {"\"num_hidden_layers\": 4", "\"num_hidden_layers\": 2"}, {"\"num_attention_heads\": 4", "\"num_attention_heads\": 4"}}) {
            assertTrue(config.contains(change[0]), change[0]);
            config = config.replace(change[0], change[1]);
        }
        Files.writeString(files.resolve("config.json"), config);
        writeWeights(files.resolve("model.safetensors"), tensors());
        model = QwenModel.load(files, options().build());
    }

    @AfterAll
    static void close() {
        model.close();
    }

    private static LoadOptions.Builder options() {
        return LoadOptions.builder().device(Device.JAVA);
    }

    private static Map<String, long[]> tensors() {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        shapes.put("model.embed_tokens.weight", new long[] {ROWS, D});
        shapes.put("model.norm.weight", new long[] {D});
        for (int i = 0; i < 2; i++) {
            String layer = "model.layers." + i + ".";
            shapes.put(layer + "input_layernorm.weight", new long[] {D});
            shapes.put(layer + "post_attention_layernorm.weight", new long[] {D});
            shapes.put(layer + "self_attn.q_proj.weight", new long[] {D, D});
            shapes.put(layer + "self_attn.q_proj.bias", new long[] {D});
            for (String name : List.of("k", "v")) {
                shapes.put(layer + "self_attn." + name + "_proj.weight", new long[] {D / 2, D});
                shapes.put(layer + "self_attn." + name + "_proj.bias", new long[] {D / 2});
            }
            shapes.put(layer + "self_attn.o_proj.weight", new long[] {D, D});
            shapes.put(layer + "mlp.gate_proj.weight", new long[] {F, D});
            shapes.put(layer + "mlp.up_proj.weight", new long[] {F, D});
            shapes.put(layer + "mlp.down_proj.weight", new long[] {D, F});
        }
        return shapes;
    }

    private static void writeWeights(Path file, Map<String, long[]> shapes) {
        Random random = new Random(7);
        StringBuilder header = new StringBuilder("{");
        long end = 0;
        for (Map.Entry<String, long[]> e : shapes.entrySet()) {
            long count = 1;
            StringBuilder shape = new StringBuilder();
            for (long n : e.getValue()) {
                count *= n;
                shape.append(shape.isEmpty() ? "" : ",").append(n);
            }
            header.append(end == 0 ? "" : ",").append("\"").append(e.getKey()).append("\":{\"dtype\":\"F32\",\"shape\":[").append(shape)
                    .append("],\"data_offsets\":[").append(end).append(",").append(end + 4 * count).append("]}");
            end += 4 * count;
        }
        byte[] json = header.append("}").toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer all = ByteBuffer.allocate((int) (8 + json.length + end)).order(ByteOrder.LITTLE_ENDIAN);
        all.putLong(json.length).put(json);
        while (all.hasRemaining()) {
            all.putFloat((float) random.nextGaussian() / 4);
        }
        try {
            Files.write(file, all.array());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static GenerationOptions.Builder generation(int maxTokens) {
        return GenerationOptions.builder().maxTokens(maxTokens).sampling(SamplingOptions.builder().temperature(1.5f).seed(1L).build());
    }

    private static GenerationRequest.Chat chat(GenerationOptions.Builder options, ToolSpec... tools) {
        Message message = Message.user("What is <|im_end|> the capital of Japan?");
        return new GenerationRequest.Chat(List.of(message), List.of(tools), options.build());
    }

    @Test
    void textIsThatOfTheTokens() {
        Generation g = model.submit(chat(generation(300).ignoreEndTokens(true)));
        StringBuilder text = new StringBuilder();
        List<Integer> ids = new ArrayList<>();
        g.events().forEachRemaining(event -> {
            if (event instanceof GenerationEvent.TextDelta delta) {
                text.append(delta.text());
            } else if (event instanceof GenerationEvent.Token token) {
                ids.add(token.id());
            }
        });
        GenerationResult result = g.await();
        assertEquals(ids, result.tokens());
        assertEquals(300, ids.size());
        assertEquals(text.toString(), result.text());
        assertEquals(model.tokenizer().decode(ids.stream().mapToInt(i -> i).toArray(), true), result.text());
        assertEquals(FinishReason.LENGTH, result.finishReason());
        Tokenizer tokenizer = model.tokenizer();
        assertEquals(tokenizer.encode(model.chatTemplate().render(chat(generation(1)).messages(), List.of(), true)).length,
                result.usage().promptTokens());
    }

    @Test
    void sameSeedSameTokensWhateverRunsBeside() {
        GenerationResult alone = model.submit(chat(generation(100))).await();
        List<Generation> together = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            together.add(model.submit(chat(generation(100))));
            model.generate("Noise " + i).cancel();
        }
        together.forEach(g -> assertEquals(alone.tokens(), g.await().tokens()));
        SamplingOptions fresh = SamplingOptions.builder().temperature(2).build();
        Set<List<Integer>> different = new HashSet<>();
        for (int i = 0; i < 4; i++) {
            different.add(model.submit(chat(generation(20).sampling(fresh).ignoreEndTokens(true))).await().tokens());
        }
        assertEquals(4, different.size());
    }

    @Test
    void nextTokensHaveTheProbabilitiesOfTheLogits() {
        List<int[]> prompts = new ArrayList<>();
        for (String end : List.of(" Japan is", " Japan", " Peru is the city of", " Japan")) {
            prompts.add(model.tokenizer().encode("Once upon a time there was a lion. ".repeat(20) + "The capital of" + end));
        }
        int[] candidates = {0, 17, ROWS - 1, 17};
        long before = model.stats().promptTokens();
        List<float[]> found = model.nextLogProbabilities(prompts, candidates);
        long computed = model.stats().promptTokens() - before;
        assertTrue(computed < prompts.get(0).length + 20, computed + " tokens were computed");
        for (int p = 0; p < prompts.size(); p++) {
            int[] prompt = prompts.get(p);
            float[] last = new float[ROWS];
            model.logits(prompt, (position, row) -> {
                if (position == prompt.length - 1) {
                    row.get(last);
                }
            });
            double most = Double.NEGATIVE_INFINITY;
            for (float logit : last) {
                most = Math.max(most, logit);
            }
            double sum = 0;
            for (float logit : last) {
                sum += Math.exp(logit - most);
            }
            for (int c = 0; c < candidates.length; c++) {
                assertEquals(last[candidates[c]] - most - Math.log(sum), found.get(p)[c], 1e-5);
            }
            // The same prompt on its own, nothing of it shared.
            assertArrayEquals(model.nextLogProbabilities(List.of(prompt), candidates).get(0), found.get(p));
        }
        assertEquals(List.of(), model.nextLogProbabilities(List.of(), candidates));
        assertEquals(0, model.nextLogProbabilities(prompts, new int[0]).get(3).length);
        assertThrows(IllegalArgumentException.class, () -> model.nextLogProbabilities(List.of(new int[0]), candidates));
        assertThrows(IllegalArgumentException.class, () -> model.nextLogProbabilities(prompts, new int[] {ROWS}));
        assertThrows(IllegalArgumentException.class, () -> model.nextLogProbabilities(prompts, new int[] {-1}));
        int[] tooLong = new int[model.info().contextLength() + 1];
        assertThrows(ContextOverflowException.class, () -> model.nextLogProbabilities(List.of(prompts.get(0), tooLong), candidates));
    }

    @Test
    void aScoredTextMayBeKeptFromSpellingControlTokens() {
        String text = "a<|im_end|>b";
        assertEquals(3, model.score(text).tokens().size());
        assertEquals(model.score(text), model.score(text, ControlTokens.RECOGNIZE));
        int[] plain = model.tokenizer().encode(text, ControlTokens.PLAIN);
        assertTrue(plain.length > 3);
        assertEquals(model.score(plain), model.score(text, ControlTokens.PLAIN));
    }

    @Test
    void rowsWithoutATokenAreNeverSampled() {
        int size = model.tokenizer().vocabularySize();
        assertTrue(size < ROWS, "the test needs rows that have no token");
        SamplingOptions wild = SamplingOptions.builder().temperature(100).seed(3L).build();
        List<Integer> tokens = model.submit(chat(generation(400).sampling(wild).ignoreEndTokens(true))).await().tokens();
        assertEquals(400, tokens.size());
        assertTrue(tokens.stream().allMatch(id -> id < size));
        // Not even if they are the only ones that are wanted.
        SamplingOptions biased = SamplingOptions.builder().temperature(0).logitBias(Map.of(size, 1000f)).build();
        assertTrue(model.submit(chat(generation(1).sampling(biased))).await().tokens().get(0) < size);
    }

    @Test
    void endTokensStopTheAnswer() {
        int end = model.tokenizer().addedToken("<|im_end|>").orElseThrow();
        assertTrue(model.info().endTokens().contains(end), model.info().toString());
        assertTrue(model.info().endTokens().contains(model.tokenizer().addedToken("<|endoftext|>").orElseThrow()));
        SamplingOptions biased = SamplingOptions.builder().temperature(0).logitBias(Map.of(end, 1000f)).build();
        GenerationResult result = model.submit(chat(generation(50).sampling(biased))).await();
        assertEquals(List.of(end), result.tokens());
        assertEquals("", result.text());
        assertEquals(FinishReason.STOP, result.finishReason());
    }

    @Test
    void stopStringCutsTextAndTokens() {
        GenerationResult whole = model.submit(chat(generation(200).ignoreEndTokens(true))).await();
        String stop = whole.text().substring(40, 43);
        GenerationResult cut = model.submit(chat(generation(200).ignoreEndTokens(true).stop(List.of(stop)))).await();
        assertEquals(whole.text().substring(0, whole.text().indexOf(stop)), cut.text());
        assertEquals(stop, cut.stop());
        assertEquals(FinishReason.STOP, cut.finishReason());
        int n = cut.tokens().size();
        assertEquals(whole.tokens().subList(0, n), cut.tokens());
        assertTrue(decode(cut.tokens()).contains(stop) && !decode(cut.tokens().subList(0, n - 1)).contains(stop));
        assertEquals(n, cut.usage().completionTokens());
    }

    private static String decode(List<Integer> ids) {
        return model.tokenizer().decode(ids.stream().mapToInt(i -> i).toArray(), true);
    }

    @Test
    void turnThatEndsAfterACallSaysSo() {
        Tokenizer tokenizer = model.tokenizer();
        String answer = "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"it\"}}\n</tool_call><|im_end|>";
        int[] script = tokenizer.encode(answer);
        ModelLoader scripted = new ModelLoader(
                path -> tokenizer, path -> model.chatTemplate(), DetokenizedText::new,
                (rows, nameable) -> (sampling, prompt) -> new TokenChooser() {
                    private int next;

                    @Override
                    public int choose(java.nio.FloatBuffer logits, int offset) {
                        return script[next++];
                    }
                });
        try (LoadedModel other = scripted.load(files, options().build())) {
            GenerationResult result = other.submit(chat(generation(200), new ToolSpec("look", "Looks.", "{}"))).await();
            assertEquals(FinishReason.TOOL_CALLS, result.finishReason());
            assertEquals("look", result.toolCalls().get(0).name());
            assertEquals("{\"at\": \"it\"}", result.toolCalls().get(0).argumentsJson());
            assertEquals("", result.text());
            assertEquals(script.length, result.tokens().size());
            // Without tools in the request the same answer is text.
            assertEquals(FinishReason.STOP, other.submit(chat(generation(200))).await().finishReason());
        }
    }

    @Test
    void vectorsHaveLengthOneAndDoNotDependOnTheirNeighbours() {
        List<String> texts = List.of("one", "a longer text of several words", "x".repeat(700), "one");
        for (Pooling pooling : Pooling.values()) {
            List<float[]> vectors = model.embed(texts, pooling);
            for (float[] v : vectors) {
                double square = 0;
                for (float f : v) {
                    square += f * f;
                }
                assertEquals(1, square, 1e-5);
                assertEquals(D, v.length);
            }
            assertArrayEquals(vectors.get(0), vectors.get(3));
            assertArrayEquals(vectors.get(1), model.embed(List.of(texts.get(1)), pooling).get(0));
            assertNotEquals(vectors.get(0)[0], vectors.get(1)[0]);
        }
        assertEquals(List.of(), model.embed(List.of(), Pooling.MEAN));
        assertThrows(IllegalArgumentException.class, () -> model.embed(List.of("good", ""), Pooling.MEAN));
        assertThrows(ContextOverflowException.class, () -> model.embed(List.of("a b ".repeat(2000)), Pooling.MEAN));
        // The mean of one token is that token.
        assertArrayEquals(model.embed(List.of("a"), Pooling.MEAN).get(0), model.embed(List.of("a"), Pooling.LAST).get(0));
    }

    @Test
    void emptyPromptsAreRefusedAndWhiteSpaceIsText() {
        assertThrows(IllegalArgumentException.class, () -> model.generate(""));
        assertThrows(IllegalArgumentException.class, () -> model.score(""));
        assertFalse(model.submit(new GenerationRequest.Text("  \n", io.qwen4j.ControlTokens.PLAIN, generation(3).build())).await().tokens()
                .isEmpty());
        assertThrows(ContextOverflowException.class, () -> model.generate("a b ".repeat(2000)));
    }

    @Test
    void quantizedWhileLoading() {
        List<String> stages = new ArrayList<>();
        LoadOptions options = options().quantization(WeightType.Q8_0).checkValues(true).progress((stage, done, total) -> {
            if (done == total) {
                stages.add(stage);
            }
        }).build();
        try (QwenModel quantized = QwenModel.load(files, options)) {
            assertTrue(quantized.info().weightBytes() < model.info().weightBytes() / 3, quantized.info().toString());
            assertEquals(20, quantized.submit(chat(generation(20).ignoreEndTokens(true))).await().tokens().size());
            assertTrue(stages.contains("load"), stages.toString());
        }
        RuntimeException mine = new RuntimeException("mine");
        assertEquals(mine, assertThrows(RuntimeException.class, () -> QwenModel.load(files, options().progress((stage, done, total) -> {
            throw mine;
        }).build())));
    }

    private static ContextPlan plan(Checkpoint checkpoint, Ops ops, LoadOptions options, long availableBytes) {
        LongContext reach = LongContext.of(checkpoint.config(), checkpoint.path(), options);
        return ContextPlan.of(checkpoint, reach, ops, options, null, availableBytes);
    }

    @Test
    void contextIsShortenedOrRefusedByMemory() {
        try (Checkpoint checkpoint = CheckpointReader.open(files, ModelLimits.DEFAULT);
                Ops ops = new JavaOps(new OpsOptions(1, null))) {
            LoadOptions plain = options().build();
            ContextPlan roomy = plan(checkpoint, ops, plain, Long.MAX_VALUE);
            assertEquals(1024, roomy.contextLength());
            assertEquals(1024 / KvPages.PAGE_TOKENS, roomy.layout().pages());
            // 4,096 tokens asked for: either they fit or they are refused.
            LoadOptions asked = options().contextLength(4096).build();
            InsufficientMemoryException e =
                    assertThrows(InsufficientMemoryException.class, () -> plan(checkpoint, ops, asked, 1 << 20));
            assertTrue(e.requiredBytes() > 1 << 20 && e.availableBytes() == 1 << 20, e.getMessage());
            assertEquals(4096, plan(checkpoint, ops, asked, e.requiredBytes()).contextLength());
            assertThrows(InsufficientMemoryException.class, () -> plan(checkpoint, ops, asked, e.requiredBytes() - 1));
            // Not asked for, but the model's own is already less than the least.
            assertThrows(InsufficientMemoryException.class, () -> plan(checkpoint, ops, plain, 1 << 20));
        }
    }

    @Test
    void aTextBeginsWithTheBeginningTokenWhereTheTokenizerAsksForOne() throws IOException {
        Path asking = Files.createDirectories(directory.resolve("asking"));
        for (String name : List.of("config.json", "generation_config.json", "model.safetensors", "tokenizer.json")) {
            Files.copy(files.resolve(name), asking.resolve(name));
        }
        Files.writeString(asking.resolve("tokenizer_config.json"), Files.readString(files.resolve("tokenizer_config.json"))
                .replace("\"add_bos_token\": false", "\"add_bos_token\": true")
                .replace("\"bos_token\": null", "\"bos_token\": \"<|endoftext|>\""));
        try (QwenModel begun = QwenModel.load(asking, options().build())) {
            int beginning = begun.tokenizer().addedToken("<|endoftext|>").orElseThrow();
            List<Integer> plain = model.score("a text").tokens();
            List<Integer> expected = new ArrayList<>(plain);
            expected.add(0, beginning);
            assertEquals(expected, begun.score("a text").tokens());
            assertEquals(expected, begun.score("<|endoftext|>a text").tokens());
            assertEquals(expected.size(), begun.generate("a text").await().usage().promptTokens());
            int chat = model.chat("a text").await().usage().promptTokens();
            assertEquals(chat, begun.chat("a text").await().usage().promptTokens());
        }
    }

    @Test
    void longContextIsShortenedToWhatFits() throws IOException {
        Path longer = Files.createDirectories(directory.resolve("longer"));
        Files.writeString(longer.resolve("config.json"), Files.readString(files.resolve("config.json"))
                .replace("\"max_position_embeddings\": 1024", "\"max_position_embeddings\": 131072"));
        Files.copy(files.resolve("model.safetensors"), longer.resolve("model.safetensors"));
        try (Checkpoint checkpoint = CheckpointReader.open(longer, ModelLimits.DEFAULT);
                Ops ops = new JavaOps(new OpsOptions(1, null))) {
            LoadOptions plain = options().build();
            ContextPlan roomy = plan(checkpoint, ops, plain, Long.MAX_VALUE);
            assertEquals(32_768, roomy.contextLength());
            long needed = assertThrows(InsufficientMemoryException.class,
                    () -> plan(checkpoint, ops, options().contextLength(32_768).build(), 0)).requiredBytes();
            ContextPlan shorter = plan(checkpoint, ops, plain, needed - roomy.layout().bytes() / 2);
            assertEquals(16_384, shorter.contextLength());
            // An extension that was asked for counts as a wish for its length, which memory may shorten.
            LoadOptions stretched = options().yarn(Yarn.of(2)).build();
            assertEquals(262_144, plan(checkpoint, ops, stretched, Long.MAX_VALUE).contextLength());
            assertEquals(16_384, plan(checkpoint, ops, stretched, needed - roomy.layout().bytes() / 2).contextLength());
            assertEquals(2048, plan(checkpoint, ops, plain, needed - roomy.layout().bytes() / 16 * 15).contextLength());
            assertThrows(InsufficientMemoryException.class,
                    () -> plan(checkpoint, ops, plain, needed - roomy.layout().bytes() / 16 * 15 - 1));
        }
    }

    @Test
    void brokenTokenizerIsAnErrorAndNoneIsNot() throws IOException {
        Path other = Files.createDirectories(directory.resolve("other"));
        for (String name : List.of("config.json", "generation_config.json", "model.safetensors")) {
            Files.copy(files.resolve(name), other.resolve(name));
        }
        try (QwenModel bare = QwenModel.load(other, options().build())) {
            assertThrows(IllegalStateException.class, () -> bare.chat("hello"));
            assertEquals(5, bare.submit(new GenerationRequest.Tokens(List.of(1, 2), generation(5).ignoreEndTokens(true).build())).await()
                    .tokens().size());
        }
        Files.writeString(other.resolve("tokenizer.json"), "{\"model\": 3}");
        assertThrows(ModelFileException.class, () -> QwenModel.load(other, options().build()));
    }

    @Test
    void aForgottenModelIsClosed() {
        Thread engine = forget();
        Fixture.await("the engine of a forgotten model to end", () -> {
            System.gc();
            return !engine.isAlive();
        });
    }

    private static Thread forget() {
        LoadedModel forgotten = (LoadedModel) QwenModel.load(files, options().build());
        assertEquals(3, forgotten.submit(chat(generation(3).ignoreEndTokens(true))).await().tokens().size());
        return forgotten.engineThread();
    }
}
