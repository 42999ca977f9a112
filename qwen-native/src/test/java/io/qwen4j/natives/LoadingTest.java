package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.random;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Several threads read and pack: the same weights, the same errors, nothing left behind. */
@NeedsNative
class LoadingTest {
    private static final int THREADS = 3;

    private long objects;
    private long mappings;

    @BeforeEach
    void count() {
        objects = NativeLibrary.liveObjects();
        mappings = NativeLibrary.liveMappings();
    }

    @AfterEach
    void nothingIsLeft() {
        NativeLibrary.failMapping(0, false);
        assertEquals(objects, NativeLibrary.liveObjects(), "native objects that were not freed");
        assertFalse(
                Thread.getAllStackTraces().keySet().stream().anyMatch(t -> t.getName().startsWith("qwen4j-load")), "a thread still reads");
    }

    private static Ops cpu(int threads) {
        return Instances.cpu(NativeRuntime.instance().best(), threads);
    }

    /** Some with several pieces for a thread, some far smaller, one with an incomplete panel. */
    private static List<List<TensorSource>> matrices(WeightType type, int columns) {
        Random random = new Random(11);
        int many = (int) (9_000_000 / type.rowBytes(columns));
        return List.of(
                List.of(random(type, many, columns, random)),
                List.of(random(type, 5, columns, random), random(WeightType.F32, 16, columns, random)),
                List.of(random(type, 33, columns, random)));
    }

    @ParameterizedTest
    @EnumSource(value = WeightType.class, names = {"F32", "BF16", "Q4_0", "Q8_0", "Q6_K"})
    void threadsMakeNoDifference(WeightType type) {
        int columns = 1024;
        List<List<TensorSource>> matrices = matrices(type, columns);
        float[] input = values(2 * columns, new Random(5));
        List<float[]> one = products(1, matrices, input);
        List<float[]> several = products(THREADS, matrices, input);
        for (int i = 0; i < one.size(); i++) {
            assertSameBits(one.get(i), several.get(i), type + ", matrix " + i);
        }
    }

    private static List<float[]> products(int threads, List<List<TensorSource>> matrices, float[] input) {
        List<float[]> products = new ArrayList<>();
        long bytes = matrices.stream().flatMap(List::stream).mapToLong(TensorSource::byteSize).sum();
        AtomicLong told = new AtomicLong();
        Thread caller = Thread.currentThread();
        try (Ops ops = cpu(threads)) {
            List<? extends Weight> weights = ops.matrices(matrices, n -> {
                assertSame(caller, Thread.currentThread());
                told.addAndGet(n);
            });
            assertEquals(bytes, told.get());
            for (Weight w : weights) {
                try (Weight weight = w;
                        Activation x = activation(ops, 2, weight.columns(), input);
                        Activation y = ops.activation(2, weight.rows())) {
                    ops.linear(x, 2, weight, null, y);
                    products.add(read(y));
                }
            }
        }
        return products;
    }

    /** A tensor that fails at its n-th read. */
    private static TensorSource failing(TensorSource source, AtomicInteger readsLeft, RuntimeException failure) {
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
                return source.rows();
            }

            @Override
            public long columns() {
                return source.columns();
            }

            @Override
            public void read(long offset, ByteBuffer target) {
                if (readsLeft.decrementAndGet() == 0) {
                    throw failure;
                }
                source.read(offset, target);
            }
        };
    }

    @Test
    void aReadThatFailsOnAnyThreadEndsTheLoad() {
        List<List<TensorSource>> matrices = matrices(WeightType.Q8_0, 1024);
        for (int fatal = 1; fatal <= 12; fatal++) {
            mappings = NativeLibrary.liveMappings();
            ModelFileException failure = new ModelFileException(Reason.TRUNCATED, Path.of("model.gguf"), "the file ended");
            AtomicInteger left = new AtomicInteger(fatal);
            List<List<TensorSource>> broken = matrices.stream()
                    .map(parts -> parts.stream().map(part -> failing(part, left, failure)).toList())
                    .toList();
            try (Ops ops = cpu(THREADS)) {
                assertSame(failure, assertThrows(ModelFileException.class, () -> ops.matrices(broken, n -> {})), "read " + fatal);
            }
            assertWeightsAreFreed("after read " + fatal);
        }
    }

    @Test
    void aListenerThatThrowsEndsTheLoad() {
        try (Ops ops = cpu(THREADS)) {
            IllegalStateException stop = new IllegalStateException("enough");
            assertSame(stop, assertThrows(IllegalStateException.class, () -> ops.matrices(matrices(WeightType.F32, 1024), n -> {
                throw stop;
            })));
        }
        assertWeightsAreFreed("after the listener threw");
    }

    /** A read buffer gives its memory back at once, but keeps its addresses until no Java buffer can reach them. */
    private void assertWeightsAreFreed(String when) {
        assertTrue(NativeLibrary.liveMappings() <= mappings + THREADS, () -> "memory of weights is left " + when);
    }

    @Test
    void memoryThatRunsOutIsATypedError() {
        List<List<TensorSource>> matrices = matrices(WeightType.F32, 1024);
        // The memory of the weights, then the buffer of each thread.
        for (int k = 1; k <= 1 + THREADS; k++) {
            try (Ops ops = cpu(THREADS)) {
                NativeLibrary.failMapping(k, false);
                assertThrows(InsufficientMemoryException.class, () -> ops.matrices(matrices, n -> {}));
            }
            assertEquals(objects, NativeLibrary.liveObjects(), "after failure " + k);
        }
    }
}
