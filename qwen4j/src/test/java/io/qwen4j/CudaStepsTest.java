package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.cache.PageTable;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenDecoder;
import io.qwen4j.core.model.QwenWeights;
import io.qwen4j.core.model.Synthesizer;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.natives.CudaCounts;
import java.lang.management.ManagementFactory;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Whole decoders on an emulated CUDA device whose steps are recorded: the logits have the bits of steps that run plainly. */
@EnabledIfSystemProperty(named = "qwen.test.device", matches = "cuda", disabledReason = "of the run on an emulated device")
class CudaStepsTest {
    private static final String PROPERTY = "qwen4j.cuda.graphs";
    private static final int PAGES = 48;
    private static final int MAX_TOKENS = 64;
    private static final int SEQUENCES = 3;
    private static final int VOCABULARY = 300;

    @TempDir
    private Path directory;

    @AfterEach
    void reset() {
        System.clearProperty(PROPERTY);
        CudaCounts.fail(0, 0);
    }

    private static final class Model implements AutoCloseable {
        private final Ops ops = NativeSets.provider().create(new OpsOptions(1, null));
        private final QwenWeights weights;
        private final KvCache cache;
        private final KvPages pool = new KvPages(PAGES);
        private final QwenDecoder decoder;
        private final Batch batch;
        private final PageTable[] tables = new PageTable[SEQUENCES];
        private final int[] lengths = new int[SEQUENCES];

        Model(Path file, QwenConfig.Rope rope, KvCacheType type) {
            try (Checkpoint checkpoint = CheckpointReader.open(file, ModelLimits.DEFAULT)) {
                weights = QwenWeights.load(checkpoint, ops, null, false, ProgressListener.none());
            }
            QwenConfig c = config(rope);
            cache = ops.kvCache(new KvLayout(type, c.layers(), PAGES, KvPages.PAGE_TOKENS, c.kvHeads(), c.headSize()));
            decoder = new QwenDecoder(c, weights, ops, MAX_TOKENS, SEQUENCES, cache);
            batch = new Batch(ops, MAX_TOKENS, SEQUENCES, PAGES, KvPages.PAGE_TOKENS);
            for (int s = 0; s < SEQUENCES; s++) {
                tables[s] = new PageTable(pool);
            }
        }

        /** Adds the next tokens of a sequence; the last one has logits. */
        void add(int s, int... ids) {
            assertTrue(tables[s].reserve(lengths[s] + ids.length));
            batch.beginSequence(lengths[s], tables[s].pages(), tables[s].count());
            for (int i = 0; i < ids.length; i++) {
                batch.addToken(ids[i], i == ids.length - 1);
            }
            lengths[s] += ids.length;
        }

        void end(int s) {
            tables[s].close();
            tables[s] = new PageTable(pool);
            lengths[s] = 0;
        }

        /** Computes as the engine does. */
        FloatBuffer run() {
            decoder.hidden(batch);
            Activation logits = decoder.logits(0, batch.outputs());
            batch.clear();
            return logits.buffer();
        }

        @Override
        public void close() {
            for (PageTable table : tables) {
                table.close();
            }
            decoder.close();
            batch.close();
            cache.close();
            weights.close();
            ops.close();
        }
    }

    private static QwenConfig config(QwenConfig.Rope rope) {
        return new QwenConfig("qwen2", 2, 32, 2, 1, 16, 64, VOCABULARY, true, 1e-6f, 2048, rope);
    }

    private Path write() {
        Path file = directory.resolve("m.gguf");
        Synthesizer.synthesizeFile("steps", config(new QwenConfig.Rope(1e6, null)), 260, WeightType.Q8_0, 5, file, ProgressListener.none());
        return file;
    }

    /** Sequences that begin, go on with the likeliest token, and end; the first one across pages of 32, a split of 256 and chunks. */
    private static List<float[]> generate(Model model) {
        Random random = new Random(4);
        List<float[]> logits = new ArrayList<>();
        int[] next = new int[SEQUENCES];
        while (model.lengths[0] < 225) {
            model.add(0, random.ints(45, 0, VOCABULARY).toArray());
            next[0] = greatest(model.run(), 0);
        }
        for (int step = 0; step < 60; step++) {
            int beside = 1 + step / 8 % 2;
            int row = 0;
            for (int s = 0; s <= beside; s++) {
                if (s > 0 && model.lengths[s] > 12 * s) {
                    model.end(s);
                }
                if (model.lengths[s] == 0) {
                    model.add(s, random.ints(1 + random.nextInt(9), 0, VOCABULARY).toArray());
                } else {
                    model.add(s, next[s]);
                }
                row++;
            }
            FloatBuffer out = model.run();
            float[] kept = new float[row * VOCABULARY];
            out.get(0, kept);
            logits.add(kept);
            for (int s = 0; s < row; s++) {
                next[s] = greatest(out, s);
            }
        }
        return logits;
    }

    private static int greatest(FloatBuffer logits, int row) {
        int best = 0;
        for (int i = 1; i < VOCABULARY; i++) {
            if (logits.get(row * VOCABULARY + i) > logits.get(row * VOCABULARY + best)) {
                best = i;
            }
        }
        return best;
    }

    private static void assertSame(List<float[]> expected, List<float[]> found) {
        assertEquals(expected.size(), found.size());
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i), found.get(i), "step " + i);
        }
    }

    @ParameterizedTest
    @CsvSource({"F16, 0", "INT8, 0", "BF16, 100", "INT8, 100"})
    void recordedStepsHaveTheSameBits(KvCacheType type, int chunk) {
        Path file = write();
        QwenConfig.Rope rope = new QwenConfig.Rope(1e6, null, chunk == 0 ? null : new QwenConfig.DualChunk(chunk, chunk / 4, 0));
        System.setProperty(PROPERTY, "false");
        List<float[]> expected;
        try (Model model = new Model(file, rope, type)) {
            expected = generate(model);
            assertEquals(0, CudaCounts.recorded(model.ops), "steps were recorded though nobody wants it");
        }
        System.clearProperty(PROPERTY);
        try (Model model = new Model(file, rope, type)) {
            assertSame(expected, generate(model));
            assertTrue(CudaCounts.replayed(model.ops) > 25, "only " + CudaCounts.replayed(model.ops) + " steps ran as recorded");
            long recorded = CudaCounts.recorded(model.ops);
            assertTrue(recorded >= 3, "only " + recorded + " steps were recorded");
        }
    }

    @Test
    void nothingIsAllocatedAfterTheShapeIsKnown() {
        Path file = write();
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        try (Model model = new Model(file, new QwenConfig.Rope(1e6, null), KvCacheType.F16)) {
            for (int i = 0; i < 6; i++) {
                model.add(0, i);
                model.add(1, i + 1);
                model.run();
            }
            long replayed = CudaCounts.replayed(model.ops);
            long allocations = CudaCounts.allocations();
            long bytes = 0;
            for (int i = 0; i < 60; i++) {
                model.add(0, i % VOCABULARY);
                model.add(1, i % VOCABULARY);
                long before = threads.getCurrentThreadAllocatedBytes();
                model.run();
                bytes += threads.getCurrentThreadAllocatedBytes() - before;
            }
            assertEquals(replayed + 60, CudaCounts.replayed(model.ops));
            assertEquals(allocations, CudaCounts.allocations(), "memory of the device");
            assertTrue(bytes < 60 * 64, bytes + " bytes of the Java heap in 60 steps");
        }
    }

    @Test
    void aRecordingThatFailsCostsNothingButTime() {
        Path file = write();
        System.setProperty(PROPERTY, "false");
        List<float[]> expected;
        try (Model model = new Model(file, new QwenConfig.Rope(1e6, null), KvCacheType.F16)) {
            expected = generate(model);
        }
        System.clearProperty(PROPERTY);
        try (Model model = new Model(file, new QwenConfig.Rope(1e6, null), KvCacheType.F16)) {
            CudaCounts.fail(1, CudaCounts.RECORDING);
            assertSame(expected, generate(model));
            assertTrue(CudaCounts.replayed(model.ops) > 0, "one failure ended all recordings");
        }
    }

    @Test
    void aDeviceThatIsLostInARecordedStepIsTold() {
        Path file = write();
        // A step has more calls of the device than that.
        for (int k = 1; k < 14; k += 3) {
            try (Model model = new Model(file, new QwenConfig.Rope(1e6, null), KvCacheType.F16)) {
                for (int i = 0; i < 4; i++) {
                    model.add(0, i);
                    model.run();
                }
                assertTrue(CudaCounts.replayed(model.ops) > 0);
                CudaCounts.fail(k, CudaCounts.DEVICE_LOST);
                model.add(0, 5);
                assertThrows(DeviceLostException.class, model::run);
                model.batch.clear();
                model.add(0, 6);
                assertThrows(DeviceLostException.class, model::run);
                CudaCounts.fail(0, 0);
            }
        }
    }
}
