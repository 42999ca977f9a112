package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.qwen4j.KvCacheType;
import io.qwen4j.ModelLimits;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.cache.PageTable;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.testing.GoldenFiles;
import io.qwen4j.core.testing.MemoryCheckpoint;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class QwenDecoderTest {
    private static final int PAGES = 64;
    private static final int MAX_TOKENS = 256;

    @TempDir
    private Path directory;

    /** A decoder with its cache, and one sequence's pages per test sequence. */
    private static final class Model implements AutoCloseable {
        private final QwenConfig config;
        private final Ops ops;
        private final QwenWeights weights;
        private final KvPages pool = new KvPages(PAGES);
        private final QwenDecoder decoder;
        private final Batch batch;

        Model(Checkpoint checkpoint, KvCacheType type, int maxOutputs) {
            this(checkpoint, type, maxOutputs, 2);
        }

        Model(Checkpoint checkpoint, KvCacheType type, int maxOutputs, int threads) {
            ops = new JavaOps(new OpsOptions(threads, null));
            config = checkpoint.config();
            weights = QwenWeights.load(checkpoint, ops, null, true, ProgressListener.none());
            KvCache cache = ops.kvCache(
                    new KvLayout(type, config.layers(), PAGES, KvPages.PAGE_TOKENS, config.kvHeads(), config.headSize()));
            decoder = new QwenDecoder(config, weights, ops, MAX_TOKENS, maxOutputs, cache);
            batch = new Batch(ops, MAX_TOKENS, 8, PAGES, KvPages.PAGE_TOKENS);
        }

        /** Adds tokens {@code from} to {@code to - 1} of a sequence, all with outputs. */
        void add(PageTable table, int[] ids, int from, int to) {
            assertTrue(table.reserve(to));
            batch.beginSequence(from, table.pages(), table.count());
            for (int t = from; t < to; t++) {
                batch.addToken(ids[t], true);
            }
        }

        /** Runs the batch and copies its rows of logits to {@code logits[row]} for the rows in turn. */
        void run(float[] logits, int firstRow) {
            int v = config.vocabularyRows();
            Activation out = decoder.forward(batch);
            out.buffer().get(0, logits, firstRow * v, batch.outputs() * v);
            batch.clear();
        }

        @Override
        public void close() {
            decoder.close();
            batch.close();
            weights.close();
            ops.close();
        }
    }

    private static double error(float[] expected, float[] actual) {
        double sum = 0;
        double squares = 0;
        double worst = 0;
        for (int i = 0; i < expected.length; i++) {
            sum += expected[i];
            squares += (double) expected[i] * expected[i];
            worst = Math.max(worst, Math.abs((double) expected[i] - actual[i]));
        }
        double mean = sum / expected.length;
        return worst / Math.sqrt(squares / expected.length - mean * mean);
    }

    // Largest error over the standard deviation of the logits; measured: F32 8e-7, F16 2.4e-3, BF16 2.0e-2.
    @ParameterizedTest
    @CsvSource({
        "dense-gqa7, F32, 1e-4", "dense-tied, F32, 1e-4", "yarn, F32, 1e-4", "yarn-new-keys, F32, 1e-4", "dense-gqa7, F16, 5e-3",
        "dense-tied, F16, 5e-3", "yarn, F16, 5e-3", "yarn-new-keys, F16, 5e-3", "dense-gqa7, BF16, 4e-2", "dense-tied, BF16, 4e-2",
        "yarn, BF16, 4e-2", "yarn-new-keys, BF16, 4e-2"
    })
    void logitsAgreeWithTheGoldenOnes(String name, KvCacheType type, double bound) {
        Path files = GoldenFiles.unpack(name, directory);
        int[] ids = GoldenFiles.ints(files.resolve("golden.safetensors"), "input_ids");
        float[] golden = GoldenFiles.floats(files.resolve("golden.safetensors"), "logits");
        try (Checkpoint checkpoint = CheckpointReader.open(files, ModelLimits.DEFAULT);
                Model model = new Model(checkpoint, type, MAX_TOKENS)) {
            // At once, in slices of awkward sizes, and token by token after a prefill.
            for (int[] slices : new int[][] {{256}, {1, 2, 3, 31, 33, 32, 7, 200}, {29, 1}}) {
                float[] logits = new float[golden.length];
                try (PageTable table = new PageTable(model.pool)) {
                    int done = 0;
                    for (int i = 0; done < ids.length; i++) {
                        int count = Math.min(slices[Math.min(i, slices.length - 1)], ids.length - done);
                        model.add(table, ids, done, done + count);
                        model.run(logits, done);
                        done += count;
                    }
                }
                assertTrue(error(golden, logits) <= bound, () -> Arrays.toString(slices) + ": " + error(golden, logits));
            }
            assertEquals(PAGES, model.pool.free());
        }
    }

    /** Rows of several sequences in ragged batches, with pages interleaved, equal those of each sequence alone bit for bit. */
    @Test
    void neighboursInABatchChangeNothing() {
        Path files = GoldenFiles.unpack("dense-tied", directory);
        int[] ids = GoldenFiles.ints(files.resolve("golden.safetensors"), "input_ids");
        try (Checkpoint checkpoint = CheckpointReader.open(files, ModelLimits.DEFAULT);
                Model model = new Model(checkpoint, KvCacheType.F16, MAX_TOKENS)) {
            int v = model.config.vocabularyRows();
            int[][] sequences = {ids, Arrays.copyOfRange(ids, 5, 22), Arrays.copyOfRange(ids, 11, 12)};
            float[][] alone = new float[3][];
            for (int s = 0; s < 3; s++) {
                alone[s] = new float[sequences[s].length * v];
                try (PageTable table = new PageTable(model.pool)) {
                    model.add(table, sequences[s], 0, sequences[s].length);
                    model.run(alone[s], 0);
                }
            }
            PageTable[] tables = {new PageTable(model.pool), new PageTable(model.pool), new PageTable(model.pool)};
            // {sequence, from, to} of each slice of each step: prefill and decode mixed.
            int[][][] steps = {
                {{0, 0, 9}}, {{1, 0, 16}, {0, 9, 10}}, {{0, 10, 32}, {1, 16, 17}, {2, 0, 1}}, {{0, 32, 33}}
            };
            for (int[][] step : steps) {
                int rows = 0;
                for (int[] slice : step) {
                    model.add(tables[slice[0]], sequences[slice[0]], slice[1], slice[2]);
                    rows += slice[2] - slice[1];
                }
                float[] logits = new float[rows * v];
                model.run(logits, 0);
                int row = 0;
                for (int[] slice : step) {
                    for (int t = slice[1]; t < slice[2]; t++, row++) {
                        for (int i = 0; i < v; i++) {
                            assertEquals(alone[slice[0]][t * v + i], logits[row * v + i], 0f, "sequence " + slice[0] + " token " + t);
                        }
                    }
                }
            }
        }
    }

    @Test
    void hiddenStatesGiveTheSameLogitsInPieces() {
        try (Model model = new Model(MemoryCheckpoint.random(small(true, 2), WeightType.F32, 1), KvCacheType.F32, 4);
                PageTable table = new PageTable(model.pool)) {
            int[] ids = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
            int v = model.config.vocabularyRows();
            float[] expected = new float[10 * v];
            for (int t = 0; t < 10; t++) {
                model.add(table, ids, t, t + 1);
                model.run(expected, t);
            }
            model.add(table, ids, 0, 10);
            assertThrows(IllegalArgumentException.class, () -> model.decoder.forward(model.batch));
            Activation hidden = model.decoder.hidden(model.batch);
            assertEquals(model.config.hiddenSize(), hidden.columns());
            for (int first : new int[] {6, 0, 3}) {
                Activation logits = model.decoder.logits(first, 4);
                for (int i = 0; i < 4 * v; i++) {
                    assertEquals(expected[first * v + i], logits.buffer().get(i));
                }
            }
            assertThrows(IllegalArgumentException.class, () -> model.decoder.logits(0, 5));
            assertThrows(IllegalArgumentException.class, () -> model.decoder.logits(-1, 1));
        }
    }

    @Test
    void tokensWithoutOutputsAreComputedAllTheSame() {
        try (Model model = new Model(MemoryCheckpoint.random(small(false, 2), WeightType.BF16, 2), KvCacheType.BF16, 1);
                PageTable first = new PageTable(model.pool);
                PageTable second = new PageTable(model.pool)) {
            int v = model.config.vocabularyRows();
            int[] ids = {7, 8, 9};
            float[] expected = new float[v];
            for (int t = 0; t < 3; t++) {
                model.add(first, ids, t, t + 1);
                model.run(expected, 0);
            }
            assertTrue(second.reserve(3));
            model.batch.beginSequence(0, second.pages(), 1);
            model.batch.addToken(7, false);
            model.batch.addToken(8, false);
            model.decoder.forward(model.batch);
            model.batch.clear();
            float[] actual = new float[v];
            model.add(second, ids, 2, 3);
            model.run(actual, 0);
            for (int i = 0; i < v; i++) {
                assertEquals(expected[i], actual[i]);
            }
        }
    }

    @Test
    void anEmptyBatchIsRefused() {
        try (Model model = new Model(MemoryCheckpoint.random(small(true, 1), WeightType.F32, 1), KvCacheType.F32, 4)) {
            assertThrows(IllegalArgumentException.class, () -> model.decoder.forward(model.batch));
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aStepAllocatesNoJavaMemory(boolean tied) {
        try (Model model = new Model(MemoryCheckpoint.random(small(tied, 2), WeightType.Q8_0, 3), KvCacheType.F16, 1, 1);
                PageTable table = new PageTable(model.pool)) {
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            assertTrue(table.reserve(64));
            int position = 0;
            int allocating = 0;
            for (int step = 0; step < 60; step++) {
                model.batch.clear();
                model.batch.beginSequence(position++, table.pages(), table.count());
                model.batch.addToken(step, true);
                long before = threads.getCurrentThreadAllocatedBytes();
                model.decoder.forward(model.batch);
                // Page 1 is first written at position 32; working memory grows at position 39 for the last time, to 60 tokens.
                if (threads.getCurrentThreadAllocatedBytes() > before && step >= 40) {
                    allocating++;
                }
            }
            // The virtual machine allocates now and then for itself, when it links or compiles; the decoder would do so at every step.
            int steps = allocating;
            assertTrue(steps <= 5, () -> steps + " of 20 steps allocated");
        }
    }

    static QwenConfig small(boolean tied, int layers) {
        return new QwenConfig("qwen2", layers, 64, 4, 2, 16, 96, 130, tied, 1e-6f, 512, new QwenConfig.Rope(1e4, null));
    }
}
