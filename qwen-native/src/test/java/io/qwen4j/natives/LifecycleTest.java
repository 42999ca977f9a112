package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.random;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.InstructionSet;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Wrong use is an exception, never the end of the process, and nothing is left behind. */
@NeedsNative
class LifecycleTest {
    private static final AttentionShape SHAPE = new AttentionShape(4, 2, 16, 0.25f);
    private static final KvLayout LAYOUT = layout(KvCacheType.F16);

    private long before;

    @BeforeEach
    void count() {
        before = NativeLibrary.liveObjects();
    }

    @AfterEach
    void nothingIsLeft() {
        NativeLibrary.failMapping(0, false);
        assertEquals(before, NativeLibrary.liveObjects(), "native objects that were not freed");
    }

    private static KvLayout layout(KvCacheType type) {
        return new KvLayout(type, 2, 4, 16, 2, 16);
    }

    private static Ops cpu() {
        return Instances.cpu(NativeRuntime.instance().best(), 2);
    }

    private static TensorSource tensor(int rows, int columns) {
        return random(WeightType.F32, rows, columns, new Random(1));
    }

    @Test
    void useAfterCloseIsAnException() {
        Ops ops = cpu();
        Weight w = ops.matrix(List.of(tensor(20, 16)), b -> {});
        Weight gain = ops.vector(List.of(tensor(1, 16)));
        Activation x = ops.activation(2, 16);
        Activation y = ops.activation(2, 20);
        ops.linear(x, 2, w, null, y);
        w.close();
        w.close();
        assertThrows(IllegalStateException.class, () -> ops.linear(x, 2, w, null, y));
        gain.close();
        assertThrows(IllegalStateException.class, () -> ops.rmsNorm(x, 2, gain, 1e-6f, x));
        FloatBuffer kept = y.buffer();
        kept.put(3, 5f);
        y.close();
        y.close();
        assertThrows(IllegalStateException.class, y::buffer);
        assertEquals(0f, kept.get(3), "memory given back reads as zeros");
        kept.put(3, 1f);
        x.close();
        assertThrows(IllegalStateException.class, () -> ops.swiGlu(x, 1, y));
        ops.close();
        ops.close();
        assertThrows(IllegalStateException.class, () -> ops.matrix(List.of(tensor(1, 1)), b -> {}));
        assertThrows(IllegalStateException.class, () -> ops.swiGlu(x, 1, y));
    }

    @Test
    void closingWhileAnotherThreadComputesBreaksNothing() throws InterruptedException {
        for (int round = 0; round < 30; round++) {
            Ops ops = cpu();
            Weight w = ops.matrix(List.of(tensor(200, 300)), b -> {});
            Activation x = ops.activation(8, 300);
            Activation y = ops.activation(8, 200);
            AtomicReference<Throwable> end = new AtomicReference<>();
            Thread engine = new Thread(() -> {
                try {
                    while (true) {
                        ops.linear(x, 8, w, null, y);
                    }
                } catch (Throwable t) {
                    end.set(t);
                }
            });
            engine.start();
            Thread.sleep(2);
            AutoCloseable[] order = {ops, w, x, y};
            for (int i = 0; i < order.length; i++) {
                AutoCloseable one = order[(i + round) % order.length];
                closeAll(one);
            }
            engine.join();
            assertTrue(end.get() instanceof IllegalStateException, () -> "ended with " + end.get());
        }
    }

    private static void closeAll(AutoCloseable one) {
        try {
            one.close();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void twoThreadsInOneBackendAreRefused() throws InterruptedException {
        try (Ops ops = cpu();
                Weight w = ops.matrix(List.of(tensor(3000, 500)), b -> {});
                Activation x = ops.activation(32, 500);
                Activation y = ops.activation(32, 3000)) {
            AtomicReference<Throwable> other = new AtomicReference<>();
            Thread[] threads = new Thread[2];
            for (int i = 0; i < threads.length; i++) {
                threads[i] = new Thread(() -> {
                    try {
                        for (int n = 0; n < 20; n++) {
                            ops.linear(x, 32, w, null, y);
                        }
                    } catch (IllegalStateException e) {
                        // Expected of at least one where both meet.
                    } catch (Throwable t) {
                        other.set(t);
                    }
                });
                threads[i].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            assertNull(other.get());
        }
    }

    @Test
    void wrongShapesAndForeignObjectsAreRefused() {
        try (Ops ops = cpu();
                Ops java = Instances.java();
                Weight w = ops.matrix(List.of(tensor(20, 16)), b -> {});
                Weight foreign = java.matrix(List.of(tensor(20, 16)), b -> {});
                Weight bias = ops.vector(List.of(tensor(1, 19)));
                Activation x = ops.activation(4, 16);
                Activation y = ops.activation(4, 20);
                Activation square = ops.activation(4, 16);
                Activation foreignX = java.activation(4, 16)) {
            assertIllegal(() -> ops.linear(x, 5, w, null, y));
            assertIllegal(() -> ops.linear(x, -1, w, null, y));
            assertIllegal(() -> ops.linear(y, 1, w, null, x));
            assertIllegal(() -> ops.linear(x, 1, w, bias, y));
            assertIllegal(() -> ops.linear(x, 1, w, w, y));
            assertIllegal(() -> ops.linear(x, 1, foreign, null, y));
            assertIllegal(() -> ops.linear(foreignX, 1, w, null, y));
            assertIllegal(() -> ops.rmsNorm(x, 1, bias, 1e-6f, square));
            assertIllegal(() -> ops.swiGlu(x, 1, y));
            assertIllegal(() -> ops.relu(x, 5));
            assertIllegal(() -> ops.relu(x, -1));
            assertIllegal(() -> ops.relu(foreignX, 1));
            assertIllegal(() -> ops.activation(0, 5));
            assertIllegal(() -> ops.activation(1 << 20, 1 << 20));
            assertIllegal(() -> ops.matrix(List.of(), b -> {}));
            assertIllegal(() -> ops.matrix(List.of(tensor(2, 3), tensor(2, 4)), b -> {}));
            assertIllegal(() -> ops.kvCache(new KvLayout(KvCacheType.F32, 1, 1, 16, 1, 24)));
            ops.linear(x, 0, w, null, y);
        }
        try (Ops ops = cpu();
                Ops other = cpu();
                Weight w = other.matrix(List.of(tensor(20, 16)), b -> {});
                Activation x = ops.activation(4, 16);
                Activation y = ops.activation(4, 20)) {
            assertIllegal(() -> ops.linear(x, 1, w, null, y));
        }
    }

    private static void assertIllegal(org.junit.jupiter.api.function.Executable call) {
        assertThrows(IllegalArgumentException.class, call);
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "INT8"})
    void aDamagedBatchIsRefused(KvCacheType type) {
        AttentionShape shape = new AttentionShape(4, 2, 16, 0.25f, 0, layout(type).keysCentred());
        try (Ops ops = cpu();
                Weight table = ops.matrix(List.of(tensor(10, 16)), b -> {});
                Weight bias = ops.vector(List.of(tensor(1, SHAPE.qkvWidth())));
                KvCache cache = ops.kvCache(layout(type));
                Activation qkv = ops.activation(8, SHAPE.qkvWidth());
                Activation rotation = ops.activation(8, shape.rotationWidth());
                Activation x = ops.activation(8, 16);
                Activation out = ops.activation(8, SHAPE.queryWidth());
                Batch batch = new Batch(ops, 8, 2, 2, 16)) {
            java.nio.IntBuffer ints = batch.memory().buffer();
            int size = ints.capacity();
            Random random = new Random(3);
            int[] bad = {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, size, 1 << 20, 7};
            for (int at = 0; at < size; at++) {
                for (int value : bad) {
                    batch.clear();
                    batch.beginSequence(3, new int[] {1, 0}, 2);
                    batch.addToken(4, true);
                    batch.addToken(9, false);
                    batch.beginSequence(0, new int[] {2}, 1);
                    batch.addToken(0, true);
                    ints.put(at, value);
                    // Whatever the damage, each call returns or is an IllegalArgumentException; some damage is a valid batch.
                    attempt(() -> ops.embed(table, batch, x));
                    attempt(() -> ops.rotateAndStore(qkv, bias, rotation, batch, shape, cache, random.nextInt(3)));
                    attempt(() -> ops.attention(qkv, rotation, batch, shape, cache, random.nextInt(3), out));
                    attempt(() -> ops.gatherOutputs(x, batch, x));
                }
            }
            batch.clear();
            batch.beginSequence(0, new int[] {0}, 1);
            batch.addToken(10, true);
            assertIllegal(() -> ops.embed(table, batch, x));
            assertIllegal(() -> ops.attention(qkv, rotation, batch, shape, cache, 2, out));
            assertIllegal(() -> ops.rotateAndStore(qkv, table, rotation, batch, shape, cache, 0));
            Weight shortBias = ops.vector(List.of(tensor(1, 16)));
            assertIllegal(() -> ops.rotateAndStore(qkv, shortBias, rotation, batch, shape, cache, 0));
            shortBias.close();
            try (Activation wrong = ops.activation(8, type == KvCacheType.INT8 ? 16 : 32)) {
                assertIllegal(() -> ops.rotateAndStore(qkv, bias, wrong, batch, shape, cache, 0));
                assertIllegal(() -> ops.attention(qkv, wrong, batch, shape, cache, 0, out));
            }
            assertIllegal(() -> ops.attention(qkv, rotation, batch, new AttentionShape(3, 2, 16, 1), cache, 0, out));
            assertIllegal(() -> ops.attention(qkv, rotation, batch, new AttentionShape(2, 1, 32, 1), cache, 0, out));
        }
    }

    private static void attempt(Runnable call) {
        try {
            call.run();
        } catch (IllegalArgumentException e) {
            // One of the two allowed outcomes.
        }
    }

    @Test
    void everyFailingAllocationIsTypedAndLeavesNothing() {
        for (boolean forEver : new boolean[] {false, true}) {
            boolean done = false;
            for (int k = 1; !done; k++) {
                NativeLibrary.failMapping(k, forEver);
                long live = NativeLibrary.liveObjects();
                try {
                    computeSomething();
                    done = true;
                } catch (InsufficientMemoryException e) {
                    assertTrue(e.requiredBytes() > 0, e.getMessage());
                }
                NativeLibrary.failMapping(0, false);
                assertEquals(live, NativeLibrary.liveObjects(), "after failure " + k);
                computeSomething();
                assertTrue(k < 100, "allocations do not end");
            }
        }
    }

    private static void computeSomething() {
        try (Ops ops = cpu();
                Weight w = ops.matrix(List.of(random(WeightType.Q8_0, 40, 64, new Random(1)), tensor(24, 64)), b -> {});
                Activation x = ops.activation(3, 64);
                Activation y = ops.activation(3, 64);
                KvCache cache = ops.kvCache(LAYOUT);
                Activation qkv = ops.activation(3, SHAPE.qkvWidth());
                Activation rotation = ops.activation(3, 16);
                Activation out = ops.activation(3, SHAPE.queryWidth());
                Batch batch = new Batch(ops, 8, 2, 2, 16)) {
            ops.linear(x, 3, w, null, y);
            batch.beginSequence(0, new int[] {0}, 1);
            for (int t = 0; t < 3; t++) {
                batch.addToken(0, false);
            }
            ops.rotateAndStore(qkv, null, rotation, batch, SHAPE, cache, 0);
            ops.attention(qkv, rotation, batch, SHAPE, cache, 0, out);
        }
    }

    @Test
    void memoryThatTheMachineDoesNotHaveIsATypedError() {
        try (Ops ops = cpu()) {
            // 2^50 bytes: more than the address space of a process.
            KvLayout layout = new KvLayout(KvCacheType.F32, 64, 1 << 20, 1024, 64, 128);
            assertThrows(InsufficientMemoryException.class, () -> ops.kvCache(layout));
            // A size beyond 63 bits is refused as a shape.
            KvLayout more = new KvLayout(KvCacheType.F32, 1 << 20, Integer.MAX_VALUE, 1 << 20, 1 << 10, 1 << 10);
            assertIllegal(() -> ops.kvCache(more));
        }
    }

    @Test
    void aSourceThatFailsLeavesNothing() {
        TensorSource good = tensor(40, 16);
        TensorSource broken =
                new TensorSource() {
                    @Override
                    public String name() {
                        return "broken";
                    }

                    @Override
                    public WeightType type() {
                        return WeightType.F32;
                    }

                    @Override
                    public long rows() {
                        return 40;
                    }

                    @Override
                    public long columns() {
                        return 16;
                    }

                    @Override
                    public void read(long offset, ByteBuffer target) {
                        throw new IllegalStateException("the disk is gone");
                    }
                };
        try (Ops ops = cpu()) {
            assertThrows(IllegalStateException.class, () -> ops.matrix(List.of(good, broken), b -> {}));
            assertThrows(IllegalStateException.class, () -> ops.vector(List.of(tensor(1, 4), broken(broken))));
            long[] heard = {0};
            try (Weight w = ops.matrix(List.of(good, good), b -> heard[0] += b)) {
                assertEquals(80, w.rows());
                assertEquals(2 * good.byteSize(), heard[0]);
                assertEquals(2 * ops.matrixBytes(good), w.bytes());
            }
        }
    }

    private static TensorSource broken(TensorSource source) {
        return new TensorSource() {
            @Override
            public String name() {
                return source.name();
            }

            @Override
            public WeightType type() {
                return source.type();
            }

            @Override
            public long rows() {
                return 1;
            }

            @Override
            public long columns() {
                return source.columns();
            }

            @Override
            public void read(long offset, ByteBuffer target) {
                source.read(offset, target);
            }
        };
    }

    @Test
    void manyMoreThreadsThanProcessorsStillCompute() {
        try (Ops ops = Instances.cpu(InstructionSet.BASELINE, 64);
                Weight w = ops.matrix(List.of(tensor(500, 64)), b -> {});
                Activation x = ops.activation(40, 64);
                Activation y = ops.activation(40, 500)) {
            for (int i = 0; i < 50; i++) {
                ops.linear(x, 40, w, null, y);
            }
        }
        assertThrows(IllegalArgumentException.class, () -> Instances.cpu(InstructionSet.BASELINE, 0));
        assertThrows(IllegalArgumentException.class, () -> Instances.cpu(InstructionSet.BASELINE, 1 << 20));
    }
}
