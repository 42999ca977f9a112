package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.qwen4j.ContextOverflowException;
import io.qwen4j.Device;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.ModelClosedException;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.SamplingOptions;
import io.qwen4j.Score;
import io.qwen4j.core.testing.GoldenFiles;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The whole chain from files to logits on the Java backend, without a tokenizer. */
@Timeout(120)
class GoldenModelTest {
    private static final SamplingOptions GREEDY = SamplingOptions.GREEDY;

    @TempDir
    Path directory;

    private static LoadOptions.Builder options() {
        return LoadOptions.builder().device(Device.JAVA).threads(2).kvCache(KvCacheType.F32);
    }

    private LoadedModel load(String name, LoadOptions options) {
        Path path = directory.resolve(name);
        if (!path.toFile().exists()) {
            GoldenFiles.unpack(name, directory);
        }
        ModelLoader loader = new ModelLoader(
                p -> {
                    throw new ModelFileException(Reason.MISSING, p.path(), "tokenizer.json is missing");
                },
                p -> {
                    throw new io.qwen4j.TemplateException("none");
                },
                (tokenizer, stop, tools) -> AnswerText.NONE,
                (rows, nameable) -> (sampling, prompt) -> (logits, offset) -> {
                    int best = 0;
                    for (int i = 0; i < nameable; i++) {
                        best = logits.get(offset + i) > logits.get(offset + best) ? i : best;
                    }
                    return best;
                });
        return loader.load(path, options);
    }

    private float[] logits(LoadedModel model, int[] ids) {
        int rows = model.info().vocabularyRows();
        float[] all = new float[ids.length * rows];
        AtomicInteger next = new AtomicInteger();
        model.logits(ids, (position, row) -> {
            assertEquals(next.getAndIncrement(), position);
            assertTrue(row.isReadOnly() && row.remaining() == rows);
            row.get(all, position * rows, rows);
        });
        assertEquals(ids.length, next.get());
        return all;
    }

    @ParameterizedTest
    @CsvSource({"dense-gqa7,512", "dense-gqa7,7", "dense-tied,512", "dense-tied,1", "yarn,64", "yarn-new-keys,512",
        "dual-chunk,512", "dual-chunk,7", "dual-chunk-scaled,512", "dual-chunk-scaled,7", "moe,512", "moe,7", "moe-mixed,512",
        "moe-mixed,1"})
    void logitsAreGolden(String name, int slice) {
        try (LoadedModel model = load(name, options().prefillSlice(slice).build())) {
            Path golden = directory.resolve(name).resolve("golden.safetensors");
            int[] ids = GoldenFiles.ints(golden, "input_ids");
            float[] expected = GoldenFiles.floats(golden, "logits");
            float[] found = logits(model, ids);
            double mean = 0;
            for (float v : expected) {
                mean += v / expected.length;
            }
            double variance = 0;
            double worst = 0;
            for (int i = 0; i < expected.length; i++) {
                variance += (expected[i] - mean) * (expected[i] - mean) / expected.length;
                worst = Math.max(worst, Math.abs(expected[i] - found[i]));
            }
            assertTrue(worst <= 1e-4 * Math.sqrt(variance), name + ": " + worst / Math.sqrt(variance) + " of the standard deviation");
            checkScore(model, ids, expected);
        }
    }

    private static void checkScore(LoadedModel model, int[] ids, float[] logits) {
        int rows = model.info().vocabularyRows();
        Score score = model.score(ids);
        assertEquals(ids.length - 1, score.logProbabilities().size());
        double total = 0;
        for (int p = 0; p + 1 < ids.length; p++) {
            double sum = 0;
            for (int i = 0; i < rows; i++) {
                sum += Math.exp(logits[p * rows + i]);
            }
            double expected = logits[p * rows + ids[p + 1]] - Math.log(sum);
            total += expected;
            assertEquals(expected, score.logProbabilities().get(p), 1e-3);
        }
        assertEquals(Math.exp(-total / (ids.length - 1)), score.perplexity(), 1e-3 * score.perplexity());
    }

    private static Generation greedy(LoadedModel model, List<Integer> prompt, int count) {
        return greedy(model, prompt, count, 0);
    }

    private static Generation greedy(LoadedModel model, List<Integer> prompt, int count, int promptLookup) {
        return model.submit(new GenerationRequest.Tokens(prompt, GenerationOptions.builder()
                .sampling(GREEDY).maxTokens(count).ignoreEndTokens(true).promptLookup(promptLookup).build()));
    }

    private static List<Integer> prompt(int seed, int length) {
        return new java.util.Random(seed).ints(length, 0, 500).boxed().toList();
    }

    @Test
    void whatRunsBesideDoesNotChangeGreedyTokens() {
        List<List<Integer>> alone = new ArrayList<>();
        try (LoadedModel model = load("dense-gqa7", options().maxConcurrent(1).build())) {
            for (int i = 0; i < 6; i++) {
                alone.add(greedy(model, prompt(i, 5 + 11 * i), 24).await().tokens());
            }
        }
        // Small slices and a cache too small for all: prompts are cut, sequences preempted and computed again.
        try (LoadedModel model = load("dense-gqa7", options().maxConcurrent(4).prefillSlice(9).cacheTokens(128).build())) {
            List<Generation> beside = IntStream.range(0, 6).mapToObj(i -> greedy(model, prompt(i, 5 + 11 * i), 24)).toList();
            int[] ids = prompt(9, 40).stream().mapToInt(i -> i).toArray();
            CompletableFuture<float[]> logits = CompletableFuture.supplyAsync(() -> logits(model, ids));
            Score score = model.score(ids);
            for (int i = 0; i < 6; i++) {
                assertEquals(alone.get(i), beside.get(i).await().tokens(), "request " + i);
            }
            assertArrayEquals(logits.join(), logits(model, ids));
            assertEquals(score, model.score(ids));
            assertTrue(model.preemptions() > 0);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 8})
    void theEngineThreadAllocatesNothingPerToken(int promptLookup) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        // One thread: with more, the Java backend hands work to a pool, which the native backend does without Java.
        try (LoadedModel model = load("dense-gqa7", options().threads(1).build())) {
            greedy(model, prompt(1, 40), 200, promptLookup).await();
            greedy(model, prompt(1, 40), 200, promptLookup).await();
            long shorter = allocated(threads, model, 10, promptLookup);
            long longer = allocated(threads, model, 210, promptLookup);
            assertEquals(promptLookup > 0, model.stats().acceptedTokens() > 0, model.stats().toString());
            // The tables of tokens (4 bytes each) and pages grow with the length; anything that is made per token takes at least 16 bytes.
            assertTrue(longer - shorter < 200 * 16, "200 tokens more allocated " + (longer - shorter) + " bytes more");
        }
    }

    private static long allocated(ThreadMXBean threads, LoadedModel model, int tokens, int promptLookup) {
        long id = model.engineThread().getId();
        long least = Long.MAX_VALUE;
        for (int i = 0; i < 5; i++) {
            long before = threads.getThreadAllocatedBytes(id);
            greedy(model, prompt(1, 40), tokens, promptLookup).await();
            least = Math.min(least, threads.getThreadAllocatedBytes(id) - before);
        }
        return least;
    }

    @Test
    void idsAreChecked() {
        try (LoadedModel model = load("dense-gqa7", options().contextLength(64).build())) {
            assertEquals(1, greedy(model, List.of(511), 1).await().tokens().size());
            for (int id : new int[] {512, -1, Integer.MAX_VALUE}) {
                assertThrows(IllegalArgumentException.class, () -> greedy(model, List.of(1, id), 1), String.valueOf(id));
                assertThrows(IllegalArgumentException.class, () -> model.score(new int[] {id, 1}));
            }
            assertThrows(IllegalArgumentException.class, () -> model.score(new int[0]));
            assertEquals(1, greedy(model, prompt(1, 64), 10).await().tokens().size());
            assertThrows(ContextOverflowException.class, () -> greedy(model, prompt(1, 65), 1));
            assertThrows(ContextOverflowException.class, () -> model.score(new int[65]));
            assertEquals(0, model.score(new int[] {7}).total());
            assertThrows(IllegalStateException.class, model::tokenizer);
            assertThrows(IllegalArgumentException.class, () -> model.submit(new GenerationRequest.Tokens(
                    List.of(1), GenerationOptions.builder().stop(List.of("x")).build())));
            SamplingOptions bias = SamplingOptions.builder().logitBias(java.util.Map.of(512, 1f)).build();
            assertThrows(IllegalArgumentException.class, () -> model.submit(
                    new GenerationRequest.Tokens(List.of(1), GenerationOptions.builder().sampling(bias).build())));
        }
    }

    @Test
    void aConsumerThatThrowsEndsTheRequest() {
        try (LoadedModel model = load("dense-tied", options().build())) {
            ArithmeticException thrown = new ArithmeticException("mine");
            assertEquals(thrown, assertThrows(ArithmeticException.class, () -> model.logits(new int[100], (position, row) -> {
                if (position == 20) {
                    throw thrown;
                }
            })));
            assertEquals(33, GoldenFiles.ints(directory.resolve("dense-tied/golden.safetensors"), "input_ids").length);
            Fixture.await("the pages", () -> model.stats().cacheTokensUsed() == 0);
        }
    }

    @Test
    void memoryIsCheckedBeforeItIsTaken() {
        InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class,
                () -> load("dense-gqa7", options().contextLength(Integer.MAX_VALUE).build()));
        assertTrue(e.requiredBytes() > 1L << 40, e.getMessage());
        assertThrows(InsufficientMemoryException.class, () -> load("dense-gqa7", options().cacheTokens(Integer.MAX_VALUE).build()));
    }

    @Test
    void everyUseAfterCloseIsRefused() {
        LoadedModel model = load("dense-gqa7", options().build());
        Generation running = greedy(model, prompt(1, 10), 0);
        model.close();
        model.close();
        running.await();
        List<org.junit.jupiter.api.function.Executable> uses = List.of(
                () -> greedy(model, List.of(1), 1), () -> model.score(new int[] {1, 2}), () -> model.logits(new int[] {1}, (p, r) -> {}),
                model::info, model::stats, model::tokenizer, model::chatTemplate, model::defaultSampling);
        uses.forEach(use -> assertThrows(ModelClosedException.class, use));
    }

    @Test
    void infoTellsTheModel() {
        try (LoadedModel model = load("dense-gqa7", options().contextLength(100).build())) {
            assertEquals(512, model.info().vocabularyRows());
            assertEquals(100, model.info().contextLength());
            assertEquals(256, model.info().modelContextLength());
            assertTrue(model.info().endTokens().contains(501));
            assertTrue(model.info().parameters() > 500_000 && model.info().weightBytes() > 1_000_000, model.info().toString());
            assertArrayEquals(new int[] {224, 7, 1, 32, 2}, new int[] {model.info().hiddenSize(), model.info().attentionHeads(),
                model.info().keyValueHeads(), model.info().headSize(), model.info().layers()});
            assertTrue(Arrays.asList("qwen2").contains(model.info().architecture()));
        }
    }
}
