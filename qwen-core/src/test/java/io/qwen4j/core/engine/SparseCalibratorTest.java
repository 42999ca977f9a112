package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.Device;
import io.qwen4j.DualChunk;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.ProgressListener;
import io.qwen4j.SparseAttention;
import io.qwen4j.SparseCalibration;
import io.qwen4j.SparseMeasurement;
import io.qwen4j.SparsePrefill;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.SparseBudgetsFile;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.SparseBudgets;
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
import org.junit.jupiter.params.provider.CsvSource;

/** Calibrated budgets keep what they promise, measured the other way; on the Java backend. */
@Timeout(120)
class SparseCalibratorTest {
    private static final int TOKENS = 800;
    private static final QwenConfig CONFIG =
            new QwenConfig("qwen2", 2, 64, 4, 2, 16, 96, 96, true, 1e-6f, 1024, new QwenConfig.Rope(10000, null));

    @TempDir
    static Path directory;

    private static Path files;

    @BeforeAll
    static void write() {
        files = TinyCheckpoints.directory(directory.resolve("m"), CONFIG, WeightType.F32, 1);
    }

    private static LoadOptions.Builder options() {
        return LoadOptions.builder().device(Device.JAVA).kvCache(KvCacheType.F32).prefillSlice(128);
    }

    private static int[] tokens(int count) {
        return new Random(5).ints(count, 0, 96).toArray();
    }

    @ParameterizedTest
    @CsvSource({"0.6, 0", "0.9, 0", "0.9, 200", "0.999, 0"})
    void calibratedBudgetsReachTheRecall(double recall, int chunkSize) {
        LoadOptions options =
                options().dualChunk(chunkSize == 0 ? null : new DualChunk(chunkSize, chunkSize / 4, 0)).build();
        Path file = directory.resolve("b.json");
        List<Long> heard = new ArrayList<>();
        SparseCalibration found = SparseAttention.calibrate(files, options, tokens(TOKENS), recall, file, (stage, done, total) -> {
            assertEquals("calibrate", stage);
            assertEquals(TOKENS, total);
            heard.add(done);
        });
        assertEquals(List.of(0L, 128L, 256L, 384L, 512L, 640L, 768L, 800L), heard);
        // The first slice ends before there is anything to choose.
        assertEquals(6, found.slices());
        assertTrue(found.worstRecall() >= recall && found.worstRecall() <= found.meanRecall(), found.toString());
        assertTrue(found.keys() > 0 && found.keys() <= 1, found.toString());

        SparseBudgets budgets = SparseBudgetsFile.read(file, 2, 4);
        assertEquals(found.mostColumns(), budgets.mostColumns());
        assertEquals(found.mostDiagonals(), budgets.mostDiagonals());
        double lowest = 1;
        for (int i = 0; i < 8; i++) {
            lowest = Math.min(lowest, budgets.score(i / 4, i % 4));
        }
        assertEquals(found.worstRecall(), lowest, 1e-6);

        LoadOptions sparse = options().dualChunk(options.dualChunk()).sparsePrefill(SparsePrefill.of(file)).build();
        SparseMeasurement m = SparseAttention.measure(
                files, sparse, tokens(TOKENS), List.of(TOKENS), false, ProgressListener.none()).get(0);
        assertTrue(m.worstRecall() >= recall - 1e-6, m.toString());
        assertTrue(m.lastRecall() >= recall - 1e-6, m.toString());
        assertTrue(m.keys() < 1 || recall > 0.99, m.toString());
    }

    @Test
    void lessRecallNeedsFewerKeys() {
        double keys = 0;
        for (double recall : new double[] {0.5, 0.8, 0.95}) {
            SparseCalibration found = SparseAttention.calibrate(
                    files, options().build(), tokens(TOKENS), recall, directory.resolve("k.json"), ProgressListener.none());
            assertTrue(found.keys() > keys, "recall " + recall + ": " + found);
            keys = found.keys();
        }
    }

    @Test
    void measuresSeveralLengths() {
        LoadOptions few = options().sparsePrefill(SparsePrefill.uniform(30, 100)).build();
        List<SparseMeasurement> dense = SparseAttention.measure(
                files, few, tokens(TOKENS), List.of(200, 500, TOKENS), false, ProgressListener.none());
        // Below 256 tokens there is nothing to choose.
        assertEquals(1, dense.get(0).meanRecall());
        assertEquals(1, dense.get(0).keys());
        for (SparseMeasurement m : dense) {
            assertTrue(m.worstRecall() <= m.meanRecall(), m.toString());
            assertTrue(m.denseSeconds() > 0 && m.sparseSeconds() >= m.choosingSeconds() && m.otherSeconds() > 0, m.toString());
        }
        assertTrue(dense.get(2).meanRecall() < dense.get(1).meanRecall() && dense.get(1).meanRecall() < 1, dense.toString());
        assertTrue(dense.get(2).keys() < dense.get(1).keys() && dense.get(1).keys() < 1, dense.toString());
        assertEquals(
                dense.get(1).meanRecall(),
                SparseAttention.measure(files, few, tokens(500), List.of(500), false, ProgressListener.none()).get(0).meanRecall());
        // What follows from chosen keys is another model in all layers but the first.
        SparseMeasurement followed =
                SparseAttention.measure(files, few, tokens(500), List.of(500), true, ProgressListener.none()).get(0);
        assertTrue(followed.meanRecall() != dense.get(1).meanRecall(), followed.toString());
    }

    @Test
    void refusesWhatMakesNoSense() {
        Path file = directory.resolve("none.json");
        ProgressListener none = ProgressListener.none();
        LoadOptions plain = options().build();
        for (double recall : new double[] {0, 1, -1, Double.NaN}) {
            assertThrows(IllegalArgumentException.class, () -> SparseAttention.calibrate(files, plain, tokens(600), recall, file, none));
        }
        assertThrows(IllegalArgumentException.class, () -> SparseAttention.calibrate(files, plain, tokens(511), 0.9, file, none));
        assertThrows(IllegalArgumentException.class, () -> SparseAttention.calibrate(files, plain, tokens(600), 0.9, directory, none));
        int[] wrong = tokens(600);
        wrong[599] = 96;
        assertTrue(assertThrows(IllegalArgumentException.class, () -> SparseAttention.calibrate(files, plain, wrong, 0.9, file, none))
                .getMessage().contains("token 599 is 96"));
        assertThrows(IllegalArgumentException.class, () -> SparseAttention.measure(files, plain, tokens(9), List.of(9), false, none));
        LoadOptions few = options().sparsePrefill(SparsePrefill.uniform(30, 100)).build();
        for (List<Integer> lengths : List.of(List.<Integer>of(), List.of(0), List.of(10))) {
            assertThrows(IllegalArgumentException.class, () -> SparseAttention.measure(files, few, tokens(9), lengths, false, none));
        }
        assertTrue(Files.notExists(file));
    }

    @Test
    void anExceptionOfTheListenerEndsTheWork() {
        RuntimeException mine = new RuntimeException("mine");
        Path file = directory.resolve("stopped.json");
        assertEquals(mine, assertThrows(RuntimeException.class, () -> SparseAttention.calibrate(
                files, options().build(), tokens(600), 0.9, file, (stage, done, total) -> {
                    throw mine;
                })));
        assertTrue(Files.notExists(file));
    }
}
