package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.Device;
import io.qwen4j.DualChunk;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.SparsePrefill;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.format.SparseBudgetsFile;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Sparse prefill of whole models through the public API, on the Java backend. */
@Timeout(120)
class SparsePrefillTest {
    private static final int SLICE = 96;
    private static final int THRESHOLD = 300;
    private static final QwenConfig CONFIG =
            new QwenConfig("qwen2", 2, 64, 4, 2, 16, 96, 96, true, 1e-6f, 1024, new QwenConfig.Rope(10000, null));

    @TempDir
    static Path directory;

    private static Path files;

    @BeforeAll
    static void write() {
        files = TinyCheckpoints.directory(directory.resolve("m"), CONFIG, WeightType.F32, 1);
    }

    private static LoadOptions.Builder options(SparsePrefill sparse) {
        return LoadOptions.builder()
                .device(Device.JAVA)
                .kvCache(KvCacheType.F32)
                .prefillSlice(SLICE)
                .maxConcurrent(4)
                .sparsePrefill(sparse);
    }

    private static GenerationRequest request(int seed, int length) {
        GenerationOptions options = GenerationOptions.builder()
                .sampling(SamplingOptions.GREEDY)
                .maxTokens(5)
                .ignoreEndTokens(true)
                .logProbabilities(1)
                .build();
        return new GenerationRequest.Tokens(new Random(seed).ints(length, 0, 96).boxed().toList(), options);
    }

    /** Tokens and the bits of their log-probabilities: any difference of attention shows in these. */
    private static String bits(GenerationResult result) {
        return result.tokens() + " " + result.logProbabilities();
    }

    private static String alone(LoadOptions options, int seed, int length) {
        try (QwenModel model = QwenModel.load(files, options)) {
            return bits(model.submit(request(seed, length)).await());
        }
    }

    private static SparsePrefill few() {
        return SparsePrefill.uniform(40, 120).withThreshold(THRESHOLD);
    }

    @Test
    void promptsBeyondTheThresholdAreSparse() {
        for (int length : new int[] {THRESHOLD, THRESHOLD + 1, 700}) {
            String dense = alone(options(null).build(), 1, length);
            String sparse = alone(options(few()).build(), 1, length);
            if (length <= THRESHOLD) {
                assertEquals(dense, sparse);
            } else {
                assertNotEquals(dense, sparse);
            }
        }
    }

    @ParameterizedTest
    @NullSource
    @ValueSource(ints = {200, 64})
    void budgetsThatCoverAllAreDenseBitForBit(Integer chunkSize) {
        DualChunk chunks = chunkSize == null ? null : new DualChunk(chunkSize, chunkSize / 4, 0);
        String dense = alone(options(null).dualChunk(chunks).build(), 2, 700);
        for (SparsePrefill all : List.of(SparsePrefill.uniform(1 << 24, 1), SparsePrefill.uniform(1, 700))) {
            assertEquals(dense, alone(options(all.withThreshold(0)).dualChunk(chunks).build(), 2, 700));
        }
        assertNotEquals(dense, alone(options(few()).dualChunk(chunks).build(), 2, 700));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 200, 50})
    void anAnswerDoesNotDependOnWhatRunsBesideIt(int chunkSize) {
        DualChunk chunks = chunkSize == 0 ? null : new DualChunk(chunkSize, chunkSize / 4, 0);
        int[] lengths = {500, 20, 433, 310, 301, 90, 611};
        List<String> expected = new ArrayList<>();
        for (int i = 0; i < lengths.length; i++) {
            expected.add(alone(options(few()).dualChunk(chunks).build(), i, lengths[i]));
        }
        // With room for all of them, and with so little that sequences give up their pages and are computed again.
        for (int cacheTokens : new int[] {4096, 736}) {
            LoadOptions options = options(few()).dualChunk(chunks).cacheTokens(cacheTokens).build();
            try (LoadedModel model = (LoadedModel) QwenModel.load(files, options)) {
                List<Generation> running = new ArrayList<>();
                for (int i = 0; i < lengths.length; i++) {
                    running.add(model.submit(request(i, lengths[i])));
                }
                for (int i = 0; i < lengths.length; i++) {
                    assertEquals(expected.get(i), bits(running.get(i).await()), "request " + i + ", cache " + cacheTokens);
                }
                assertEquals(cacheTokens < 1000, model.preemptions() > 0);
            }
        }
    }

    @Test
    void scoresAndLogitsAttendToAllKeys() {
        int[] tokens = new Random(3).ints(600, 0, 96).toArray();
        try (QwenModel dense = QwenModel.load(files, options(null).build());
                QwenModel sparse = QwenModel.load(files, options(few().withThreshold(0)).build())) {
            assertEquals(dense.score(tokens), sparse.score(tokens));
            List<Float> expected = new ArrayList<>();
            dense.logits(tokens, (position, row) -> expected.add(row.get(row.position())));
            List<Float> found = new ArrayList<>();
            sparse.logits(tokens, (position, row) -> found.add(row.get(row.position())));
            assertEquals(expected, found);
        }
    }

    @Test
    void budgetsAreFoundBesideTheModelOrByName() throws Exception {
        String expected = alone(options(few()).build(), 4, 700);
        Path named = directory.resolve("named.json");
        SparseBudgetsFile.write(SparseBudgets.uniform(2, 4, 40, 120), named);
        assertEquals(expected, alone(options(SparsePrefill.of(named).withThreshold(THRESHOLD)).build(), 4, 700));

        LoadOptions published = options(SparsePrefill.PUBLISHED.withThreshold(THRESHOLD)).build();
        ModelFileException e = assertThrows(ModelFileException.class, () -> QwenModel.load(files, published));
        assertEquals(Reason.MISSING, e.reason());
        assertTrue(e.getMessage().contains("sparse_attention_config.json: sparse prefill was asked for"), e.getMessage());

        Path gguf = TinyCheckpoints.gguf(directory.resolve("m.gguf"), CONFIG, WeightType.F32, 1);
        Path beside = directory.resolve(SparseBudgetsFile.NAME);
        Files.copy(named, beside);
        try (QwenModel model = QwenModel.load(gguf, published)) {
            assertEquals(expected, bits(model.submit(request(4, 700)).await()));
        }
        Files.delete(beside);

        SparseBudgetsFile.write(SparseBudgets.uniform(2, 5, 40, 120), named);
        LoadOptions wrong = options(SparsePrefill.of(named)).build();
        ModelFileException shape = assertThrows(ModelFileException.class, () -> QwenModel.load(files, wrong));
        assertEquals(Reason.SHAPE, shape.reason());
    }

    @Test
    void chosenKeysCountAsMemory() {
        try (Checkpoint checkpoint = CheckpointReader.open(files, ModelLimits.DEFAULT);
                Ops ops = new JavaOps(new OpsOptions(1, null))) {
            LoadOptions options = options(null).build();
            LongContext reach = LongContext.of(checkpoint.config(), files, options);
            long dense = required(() -> ContextPlan.of(checkpoint, reach, ops, options, null, 0));
            SparseBudgets huge = SparseBudgets.uniform(2, 4, 1 << 24, 1 << 24);
            long sparse = required(() -> ContextPlan.of(checkpoint, reach, ops, options, huge, 0));
            // Budgets never take more than the context has: 4 runs of 4 heads with 1024 columns and 1024 diagonals.
            assertEquals(KeyChoice.bytes(4, 4, 1024, 1024), sparse - dense);
        }
    }

    @Test
    void moreChosenKeysThanAnArrayHoldsAreRefused() {
        QwenConfig wide = new QwenConfig("qwen2", 1, 64, 64, 64, 16, 96, 96, true, 1e-6f, 1 << 20, new QwenConfig.Rope(10000, null));
        Path path = TinyCheckpoints.directory(directory.resolve("wide"), wide, WeightType.F32, 1);
        LoadOptions options = options(SparsePrefill.uniform(1 << 24, 1 << 24)).contextLength(1 << 22).cacheTokens(1024).build();
        InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> QwenModel.load(path, options));
        assertTrue(e.getMessage().contains("with budgets of up to 4194304 columns and 4194304 diagonals"), e.getMessage());
    }

    private static long required(Runnable plan) {
        return assertThrows(InsufficientMemoryException.class, plan::run).requiredBytes();
    }

    @Test
    void refusesWhatMakesNoSense() {
        assertThrows(IllegalArgumentException.class, () -> SparsePrefill.uniform(0, 100));
        assertThrows(IllegalArgumentException.class, () -> SparsePrefill.uniform(100, (1 << 24) + 1));
        assertThrows(IllegalArgumentException.class, () -> new SparsePrefill(null, 30, 0, 1));
        assertThrows(IllegalArgumentException.class, () -> new SparsePrefill(Path.of("a"), 30, 100, 1));
        assertThrows(IllegalArgumentException.class, () -> SparsePrefill.PUBLISHED.withThreshold(-1));
    }
}
