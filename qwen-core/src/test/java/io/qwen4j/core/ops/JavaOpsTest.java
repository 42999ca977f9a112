package io.qwen4j.core.ops;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.Device;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.WeightType;
import io.qwen4j.core.testing.BytesTensor;
import java.util.List;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class JavaOpsTest {
    private static final Random RANDOM = new Random(5);

    private static float[] random(int count) {
        float[] out = new float[count];
        for (int i = 0; i < count; i++) {
            out[i] = (float) RANDOM.nextGaussian();
        }
        return out;
    }

    private static Activation filled(Ops ops, int rows, int columns, float[] values) {
        Activation out = ops.activation(rows, columns);
        out.buffer().put(0, values);
        return out;
    }

    private static float[] values(Activation activation) {
        float[] out = new float[activation.rows() * activation.columns()];
        activation.buffer().get(0, out);
        return out;
    }

    private static JavaOps ops(int threads) {
        return new JavaOps(new OpsOptions(threads, null));
    }

    @Test
    void isFoundAsTheLastProvider() {
        OpsProvider provider = ServiceLoader.load(OpsProvider.class).stream().map(ServiceLoader.Provider::get)
                .filter(p -> p.device() == Device.JAVA).findFirst().orElseThrow();
        assertEquals(0, provider.priority());
        assertTrue(provider.unavailabilityCause().isEmpty());
        try (Ops ops = provider.create(new OpsOptions(3, null))) {
            assertEquals("java, 3 threads", ops.description());
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1, 1", "2, 3, 5, 1", "3, 7, 33, 4", "2, 9, 256, 2", "4, 1, 100, 17"})
    void linearMultipliesAndAdds(int threads, int rows, int n, int tokens) {
        try (Ops ops = ops(threads)) {
            BytesTensor first = BytesTensor.of("a", WeightType.F32, rows, n, random(rows * n));
            BytesTensor second = BytesTensor.of("b", WeightType.BF16, 2, n, random(2 * n));
            AtomicLong read = new AtomicLong();
            Weight w = ops.matrix(List.of(first, second), read::addAndGet);
            int m = rows + 2;
            assertEquals(m, w.rows());
            assertEquals(n, w.columns());
            assertEquals(first.byteSize() + second.byteSize(), w.bytes());
            assertEquals(w.bytes(), read.get());
            float[] biases = random(m);
            Weight bias = ops.vector(List.of(
                    BytesTensor.of("c", WeightType.F32, 1, 1, new float[] {biases[0]}),
                    BytesTensor.of("d", WeightType.F32, 1, m - 1, java.util.Arrays.copyOfRange(biases, 1, m))));
            float[] x = random((tokens + 1) * n);
            Activation in = filled(ops, tokens + 1, n, x);
            Activation out = filled(ops, tokens + 1, m, random((tokens + 1) * m));
            float[] before = values(out);
            ops.linear(in, tokens, w, bias, out);
            float[] after = values(out);
            ops.linearAdd(in, tokens, w, out);
            for (int t = 0; t <= tokens; t++) {
                for (int r = 0; r < m; r++) {
                    double sum = 0;
                    for (int i = 0; i < n; i++) {
                        sum += (double) x[t * n + i] * (r < rows ? first.values()[r * n + i] : second.values()[(r - rows) * n + i]);
                    }
                    int at = t * m + r;
                    assertEquals(t == tokens ? before[at] : (float) (sum + biases[r]), after[at], 1e-5 * n);
                    assertEquals(t == tokens ? before[at] : (float) (2 * sum + biases[r]), out.buffer().get(at), 1e-5 * n);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void linearAndEmbedDecodeEveryType(WeightType type) {
        try (Ops ops = ops(2)) {
            int rows = 6;
            int n = 512;
            BytesTensor tensor = BytesTensor.of("w", type, rows, n, random(rows * n));
            float[] decoded = tensor.values();
            Weight w = ops.matrix(List.of(tensor), bytes -> {});
            assertEquals(ops.matrixBytes(tensor), w.bytes());
            float[] x = random(n);
            Activation y = ops.activation(1, rows);
            ops.linear(filled(ops, 1, n, x), 1, w, null, y);
            Batch batch = new Batch(ops, rows, 1, 1, 32);
            batch.beginSequence(0, new int[] {0}, 1);
            for (int r = 0; r < rows; r++) {
                batch.addToken(rows - 1 - r, false);
            }
            Activation embedded = ops.activation(rows, n);
            ops.embed(w, batch, embedded);
            for (int r = 0; r < rows; r++) {
                double sum = 0;
                for (int i = 0; i < n; i++) {
                    sum += (double) x[i] * decoded[r * n + i];
                    assertEquals(decoded[r * n + i], embedded.buffer().get((rows - 1 - r) * n + i));
                }
                assertEquals(sum, y.buffer().get(r), 1e-5 * Math.abs(sum) + 1e-6);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 100, 256, 300, 1000, 1 << 20})
    void rowsAreFoundInAnyChunk(int chunkBytes) {
        float[] a = random(9 * 64);
        float[] b = random(4 * 64);
        JavaMatrix matrix = new JavaMatrix(List.of(
                BytesTensor.of("a", WeightType.F32, 9, 64, a), BytesTensor.of("b", WeightType.F32, 4, 64, b)), n -> {}, chunkBytes);
        float[] row = new float[65];
        for (int r = 0; r < 13; r++) {
            matrix.decodeRow(r, row, 1);
            for (int i = 0; i < 64; i++) {
                assertEquals(r < 9 ? a[r * 64 + i] : b[(r - 9) * 64 + i], row[i + 1]);
            }
        }
    }

    @Test
    void missingHeapMemoryIsATypedError() {
        InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> HeapMemory.allocate("weights", 77, () -> {
            throw new OutOfMemoryError("Java heap space");
        }));
        assertEquals(77, e.requiredBytes());
        assertTrue(e.getMessage().contains("weights") && e.getMessage().contains("-Xmx"), e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> HeapMemory.length(1L << 31));
    }

    @Test
    void rmsNormScalesRows() {
        try (Ops ops = ops(1)) {
            float[] x = random(3 * 5);
            float[] gain = random(5);
            Weight g = ops.vector(List.of(BytesTensor.of("g", WeightType.F32, 1, 5, gain)));
            Activation a = filled(ops, 3, 5, x);
            ops.rmsNorm(a, 2, g, 0.5f, a);
            for (int i = 0; i < 15; i++) {
                int row = i / 5;
                double squares = 0;
                for (int j = 0; j < 5; j++) {
                    squares += (double) x[row * 5 + j] * x[row * 5 + j];
                }
                double expected = row == 2 ? x[i] : x[i] / Math.sqrt(squares / 5 + 0.5) * gain[i % 5];
                assertEquals(expected, a.buffer().get(i), 1e-6);
            }
        }
    }

    @Test
    void reluKeepsWhatIsPositive() {
        float[] values = {-1, 0, 2.5f, -1e30f, -1, Float.POSITIVE_INFINITY, -3, Float.NaN};
        try (Ops ops = ops(1);
                Activation x = filled(ops, 2, 4, values)) {
            ops.relu(x, 1);
            assertArrayEquals(new float[] {0, 0, 2.5f, 0, -1, Float.POSITIVE_INFINITY, -3, Float.NaN}, values(x));
            ops.relu(x, 2);
            assertArrayEquals(new float[] {0, 0, 2.5f, 0, 0, Float.POSITIVE_INFINITY, 0, Float.NaN}, values(x));
            assertThrows(IllegalArgumentException.class, () -> ops.relu(x, 3));
        }
    }

    @Test
    void swiGluGates() {
        try (Ops ops = ops(1)) {
            Activation out = ops.activation(2, 2);
            ops.swiGlu(filled(ops, 2, 4, new float[] {0, 1, 5, 6, -1, -200, 7, 3}), 2, out);
            float[] expected = {0, (float) (6 / (1 + Math.exp(-1))), (float) (-7 / (1 + Math.E)), 0};
            for (int i = 0; i < 4; i++) {
                assertEquals(expected[i], out.buffer().get(i), 1e-6);
            }
        }
    }

    @Test
    void gatherTakesTheOutputRows() {
        try (Ops ops = ops(1)) {
            Batch batch = new Batch(ops, 5, 2, 1, 32);
            batch.beginSequence(0, new int[] {0}, 1);
            batch.addToken(0, false);
            batch.addToken(0, true);
            batch.beginSequence(0, new int[] {1}, 1);
            batch.addToken(0, true);
            Activation out = ops.activation(2, 2);
            ops.gatherOutputs(filled(ops, 5, 2, new float[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), batch, out);
            assertEquals(List.of(2f, 3f, 4f, 5f), List.of(
                    out.buffer().get(0), out.buffer().get(1), out.buffer().get(2), out.buffer().get(3)));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void resultsDoNotDependOnThreadsOrNeighbours(int threads) {
        float[] w = random(37 * 64);
        float[] x = random(9 * 64);
        try (Ops one = ops(1); Ops many = ops(threads)) {
            BytesTensor tensor = BytesTensor.of("w", WeightType.Q4_0, 37, 64, w);
            Activation all = many.activation(9, 37);
            many.linear(filled(many, 9, 64, x), 9, many.matrix(List.of(tensor), b -> {}), null, all);
            for (int t = 0; t < 9; t++) {
                Activation single = one.activation(1, 37);
                one.linear(filled(one, 1, 64, java.util.Arrays.copyOfRange(x, t * 64, t * 64 + 64)), 1,
                        one.matrix(List.of(tensor), b -> {}), null, single);
                for (int i = 0; i < 37; i++) {
                    assertEquals(single.buffer().get(i), all.buffer().get(t * 37 + i));
                }
            }
        }
    }

    @Test
    void wrongShapesAreRefused() {
        try (Ops ops = ops(1)) {
            Weight w = ops.matrix(List.of(BytesTensor.of("w", WeightType.F32, 3, 4, random(12))), b -> {});
            Weight v = ops.vector(List.of(BytesTensor.of("v", WeightType.F32, 1, 4, random(4))));
            Activation x = ops.activation(2, 4);
            Activation y = ops.activation(2, 3);
            assertSame(y.buffer(), y.buffer());
            assertThrows(IllegalArgumentException.class, () -> ops.linear(x, 3, w, null, y));
            assertThrows(IllegalArgumentException.class, () -> ops.linear(x, -1, w, null, y));
            assertThrows(IllegalArgumentException.class, () -> ops.linear(y, 2, w, null, x));
            assertThrows(IllegalArgumentException.class, () -> ops.linear(x, 2, w, v, y));
            assertThrows(IllegalArgumentException.class, () -> ops.linear(x, 2, v, null, y));
            assertThrows(IllegalArgumentException.class, () -> ops.linear(x, 2, w, null, x));
            assertThrows(IllegalArgumentException.class, () -> ops.rmsNorm(y, 2, v, 1e-6f, y));
            assertThrows(IllegalArgumentException.class, () -> ops.swiGlu(x, 2, y));
            assertThrows(IllegalArgumentException.class, () -> ops.activation(0, 4));
            assertThrows(IllegalArgumentException.class, () -> ops.matrix(List.of(), b -> {}));
            assertThrows(IllegalArgumentException.class, () -> ops.matrix(List.of(
                    BytesTensor.of("a", WeightType.F32, 1, 4, random(4)), BytesTensor.of("b", WeightType.F32, 1, 5, random(5))), b -> {}));
            assertThrows(IllegalArgumentException.class, () -> ops.vector(List.of(
                    BytesTensor.of("q", WeightType.Q8_0, 1, 32, random(32)))));
            Batch batch = new Batch(ops, 1, 1, 1, 4);
            batch.beginSequence(0, new int[] {0}, 1);
            batch.addToken(3, false);
            assertThrows(IllegalArgumentException.class, () -> ops.embed(w, batch, x));
            KvCache cache = ops.kvCache(new KvLayout(KvCacheType.F32, 1, 1, 4, 1, 16));
            Activation qkv = ops.activation(1, 48);
            Activation rotation = ops.activation(1, 16);
            assertThrows(IllegalArgumentException.class,
                    () -> ops.rotateAndStore(qkv, null, rotation, batch, new AttentionShape(1, 1, 16, 1), cache, 1));
            assertThrows(IllegalArgumentException.class,
                    () -> ops.attention(qkv, rotation, batch, new AttentionShape(2, 2, 8, 1), cache, 0, rotation));
        }
    }

    @Test
    void aClosedBackendRefusesWorkAndAFailedPieceReachesTheCaller() {
        Workers workers = new Workers(3);
        for (int round = 0; round < 50; round++) {
            AtomicLong sum = new AtomicLong();
            workers.run((piece, worker) -> sum.addAndGet(piece), 100);
            assertEquals(4950, sum.get());
            assertThrows(IllegalStateException.class, () -> workers.run((piece, worker) -> {
                if (piece == 7) {
                    throw new IllegalStateException("piece 7");
                }
            }, 20));
        }
        workers.close();
        workers.close();
        assertThrows(IllegalStateException.class, () -> workers.run((piece, worker) -> {}, 1));
    }
}
