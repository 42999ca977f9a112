package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.random;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.BackendInfo;
import io.qwen4j.BackendUnavailableException;
import io.qwen4j.DeviceLostException;
import io.qwen4j.InstructionSet;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.ModelFileException;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** What is special of a device: there may be none, its memory is small, it can fail, and the host sees copies. */
@EnabledIfSystemProperty(named = "qwen.test.device", matches = "cuda", disabledReason = "of the run on an emulated device")
@NeedsNative
class CudaOpsTest {
    private static final long GIB = 1L << 30;

    private long before;

    @BeforeEach
    void count() {
        before = CudaLibrary.liveObjects();
    }

    @AfterEach
    void nothingIsLeft() {
        CudaLibrary.emulateFailure(0, 0);
        CudaLibrary.emulateDevices(1, 90, 4 * GIB);
        System.clearProperty(CudaDevice.PROPERTY);
        assertEquals(before, CudaLibrary.liveObjects(), "native objects that were not freed");
        assertEquals(0, CudaLibrary.emulatedBytes(), "memory of the device that was not freed");
        assertEquals(0, CudaLibrary.emulatedFaults(), "memory of the device was freed that was not taken");
    }

    private static Ops cuda() {
        return new CudaOpsProvider().create(new OpsOptions(1, null));
    }

    private static TensorSource tensor(WeightType type, int rows, int columns) {
        return random(type, rows, columns, new Random(3));
    }

    private static void unavailable(String expected) {
        Throwable cause = new CudaOpsProvider().unavailabilityCause().orElseThrow();
        assertTrue(cause.getMessage().contains(expected), cause.getMessage());
        BackendUnavailableException e = assertThrows(BackendUnavailableException.class, CudaOpsTest::cuda);
        assertTrue(e.getMessage().contains(expected), e.getMessage());
    }

    @Test
    void whatIsMissingIsTold() {
        CudaLibrary.emulateDevices(-1, 90, GIB);
        unavailable("no NVIDIA driver is installed; one for CUDA");
        CudaLibrary.emulateDevices(0, 90, GIB);
        unavailable("finds no device");
        CudaLibrary.emulateDevices(1, 75, GIB);
        unavailable("expected compute capability 8.0 or higher");
        CudaLibrary.emulateDevices(2, 80, GIB);
        assertTrue(new CudaOpsProvider().unavailabilityCause().isEmpty());
        System.setProperty(CudaDevice.PROPERTY, "2");
        unavailable("expected a number of 0 to 1");
        System.setProperty(CudaDevice.PROPERTY, "1");
        try (Ops ops = cuda()) {
            assertEquals("cuda, device 1 (emulated device 1, compute capability 8.0)", ops.description());
            assertEquals(GIB, ops.availableBytes());
        }
        assertThrows(
                BackendUnavailableException.class, () -> new CudaOpsProvider().create(new OpsOptions(1, InstructionSet.AVX2, ActivationPrecision.INT8)));
    }

    @Test
    void devicesAreShownWithTheirMemoryAlsoThoseThatAreTooOld() {
        CudaLibrary.emulateDevices(2, 90, GIB);
        try (Ops ops = cuda();
                Activation taken = ops.activation(1, 1 << 20)) {
            taken.buffer();
            assertEquals(
                    List.of(
                            new BackendInfo.Hardware("device 0: emulated device 0", "compute capability 9.0", GIB, GIB - (4 << 20)),
                            new BackendInfo.Hardware("device 1: emulated device 1", "compute capability 9.0", GIB, GIB - (4 << 20))),
                    new CudaOpsProvider().hardware());
        }
        CudaLibrary.emulateDevices(1, 75, GIB);
        assertEquals(
                List.of(new BackendInfo.Hardware("device 0: emulated device 0", "compute capability 7.5", GIB, 0)),
                new CudaOpsProvider().hardware());
        CudaLibrary.emulateDevices(-1, 90, GIB);
        assertEquals(List.of(), new CudaOpsProvider().hardware());
    }

    @Test
    void theDeviceWithMostMemoryIsChosen() {
        List<CudaDevice.Found> devices = List.of(
                new CudaDevice.Found(new CudaDevice(0, "old", 75), 9 * GIB),
                new CudaDevice.Found(new CudaDevice(1, "small", 120), GIB),
                new CudaDevice.Found(new CudaDevice(2, "large", 80), 2 * GIB));
        assertEquals(2, CudaDevice.choose(devices, null).index());
        assertEquals(1, CudaDevice.choose(devices, " 1 ").index());
        assertThrows(BackendUnavailableException.class, () -> CudaDevice.choose(devices, "0"));
        assertThrows(BackendUnavailableException.class, () -> CudaDevice.choose(devices, "x"));
        assertThrows(BackendUnavailableException.class, () -> CudaDevice.choose(devices.subList(0, 1), null));
    }

    @Test
    void tooLittleMemoryIsToldWithFigures() {
        CudaLibrary.emulateDevices(1, 90, 1 << 20);
        try (Ops ops = cuda()) {
            assertEquals(1 << 20, ops.availableBytes());
            InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> ops.activation(1 << 10, 1 << 10));
            assertEquals(4 << 20, e.requiredBytes());
            assertEquals(1 << 20, e.availableBytes());
            assertThrows(InsufficientMemoryException.class, () -> ops.matrix(List.of(tensor(WeightType.F32, 1024, 1024)), n -> {}));
            assertThrows(InsufficientMemoryException.class, () -> ops.kvCache(new KvLayout(KvCacheType.F32, 8, 64, 64, 2, 64)));
            // What fits still does.
            ops.activation(100, 100).close();
        }
    }

    @Test
    void aDeviceThatFailsIsToldAndStaysLost() {
        for (long k = 1; k < 12; k++) {
            try (Ops ops = cuda();
                    Activation x = ops.activation(3, 64);
                    Activation y = ops.activation(3, 64)) {
                long call = k;
                CudaLibrary.emulateFailure(call, CudaException.DEVICE_LOST);
                assertThrows(DeviceLostException.class, () -> {
                    for (int i = 0; i <= call; i++) {
                        ops.relu(x, 3);
                        y.buffer().put(0, x.buffer().get(0));
                    }
                });
                assertThrows(DeviceLostException.class, () -> ops.relu(x, 3));
                CudaLibrary.emulateFailure(0, 0);
            }
        }
    }

    /** The weights, then on its way what has to be laid out; floating point goes straight to its place. */
    @Test
    void anAllocationThatFailsLeavesNothing() {
        for (WeightType type : new WeightType[] {WeightType.Q8_0, WeightType.BF16}) {
            int allocations = type == WeightType.BF16 ? 1 : 2;
            for (long k = 1; k <= allocations + 1; k++) {
                try (Ops ops = cuda()) {
                    CudaLibrary.emulateFailure(k, CudaException.OUT_OF_MEMORY);
                    List<TensorSource> parts = List.of(tensor(type, 40, 64));
                    if (k <= allocations) {
                        assertThrows(InsufficientMemoryException.class, () -> ops.matrix(parts, n -> {}), type + ", allocation " + k);
                    } else {
                        ops.matrix(parts, n -> {}).close();
                    }
                }
                assertEquals(0, CudaLibrary.emulatedBytes(), type + ", after failure " + k);
                CudaLibrary.emulateFailure(0, 0);
            }
        }
    }

    @Test
    void aDeviceThatIsLostWhileWeightsAreSentEndsTheLoad() {
        int lost = 0;
        for (long k = 1; k < 60; k++) {
            try (Ops ops = cuda()) {
                CudaLibrary.emulateFailure(k, CudaException.DEVICE_LOST);
                List<TensorSource> parts = List.of(tensor(WeightType.Q8_0, 40, 64), tensor(WeightType.F32, 3, 64));
                try {
                    ops.matrix(parts, n -> {}).close();
                } catch (DeviceLostException e) {
                    lost++;
                }
                assertEquals(0, CudaLibrary.emulatedBytes(), "after failure " + k);
                CudaLibrary.emulateFailure(0, 0);
            }
        }
        assertTrue(lost > 8, lost + " failures were met");
    }

    @Test
    void sizesOfCachesAreKnownBefore() {
        try (Ops ops = cuda()) {
            for (KvCacheType type : KvCacheType.values()) {
                KvLayout layout = new KvLayout(type, 3, 5, 32, 2, 48);
                long free = ops.availableBytes();
                KvCache cache = ops.kvCache(layout);
                assertEquals(ops.cacheBytes(layout), free - ops.availableBytes(), type.toString());
                cache.close();
            }
            KvLayout wide = new KvLayout(KvCacheType.F16, 1, 1, 32, 1, 272);
            assertThrows(BackendUnavailableException.class, () -> ops.cacheBytes(wide));
            assertThrows(BackendUnavailableException.class, () -> ops.kvCache(wide));
            assertTrue(ops.scratchBytes(1000, new KvLayout(KvCacheType.F16, 3, 5, 32, 2, 48), true)
                    > ops.scratchBytes(1000, new KvLayout(KvCacheType.F16, 3, 5, 32, 2, 48), false) + (256 << 20));
        }
    }

    @Test
    void aDeviceWithoutFreeMemoryHasNone() {
        CudaLibrary.emulateDevices(1, 90, 4096);
        try (Ops ops = cuda();
                Activation all = ops.activation(32, 32)) {
            assertEquals(0, ops.availableBytes());
            InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> ops.activation(1, 1));
            assertEquals(0, e.availableBytes());
            all.buffer().put(0, 1f);
        }
    }

    @Test
    void aReadThatFailsEndsTheLoad() {
        ModelFileException failure = new ModelFileException(ModelFileException.Reason.TRUNCATED, Path.of("model.gguf"), "the file ended");
        TensorSource whole = tensor(WeightType.Q4_0, 40, 64);
        TensorSource broken = new TensorSource() {
            @Override
            public String name() {
                return "broken";
            }

            @Override
            public WeightType type() {
                return WeightType.Q4_0;
            }

            @Override
            public long rows() {
                return 40;
            }

            @Override
            public long columns() {
                return 64;
            }

            @Override
            public void read(long offset, ByteBuffer target) {
                throw failure;
            }
        };
        try (Ops ops = cuda()) {
            assertSame(failure, assertThrows(ModelFileException.class, () -> ops.matrices(List.of(List.of(whole), List.of(broken)), n -> {})));
            assertEquals(0, CudaLibrary.emulatedBytes());
        }
    }

    @Test
    void largeMatricesComeInPieces() {
        // 27 MiB in rows of 9216 bytes, so that two pieces of 16 MiB are not whole.
        TensorSource w = tensor(WeightType.F32, 3072, 2304);
        AtomicLong told = new AtomicLong();
        try (Ops java = Instances.java();
                Ops ops = cuda();
                Weight expected = java.matrix(List.of(w), n -> {});
                Weight weight = ops.matrix(List.of(w), told::addAndGet);
                Activation x = ops.activation(1, 2304);
                Activation y = ops.activation(1, 3072);
                Activation javaX = java.activation(1, 2304);
                Activation javaY = java.activation(1, 3072)) {
            assertEquals(w.byteSize(), told.get());
            assertEquals(w.byteSize(), weight.bytes());
            float[] values = Tensors.values(2304, new Random(4));
            x.buffer().put(0, values);
            javaX.buffer().put(0, values);
            ops.linear(x, 1, weight, null, y);
            java.linear(javaX, 1, expected, null, javaY);
            Tolerance.assertClose(Tensors.read(javaY), Tensors.read(y), 2e-5, "a matrix of several pieces");
        }
    }

    /** Values that tell their place. */
    private static final class Counting implements TensorSource {
        private final int rows;
        private final int columns;
        private final Set<Thread> readers = ConcurrentHashMap.newKeySet();

        Counting(int rows, int columns) {
            this.rows = rows;
            this.columns = columns;
        }

        @Override
        public String name() {
            return "counting";
        }

        @Override
        public WeightType type() {
            return WeightType.F32;
        }

        @Override
        public long rows() {
            return rows;
        }

        @Override
        public long columns() {
            return columns;
        }

        @Override
        public void read(long offset, ByteBuffer target) {
            readers.add(Thread.currentThread());
            FloatBuffer values = target.order(ByteOrder.nativeOrder()).asFloatBuffer();
            int first = (int) (offset / 4 / columns);
            while (values.hasRemaining()) {
                values.put(first + (values.position() % columns == 0 ? 0.5f : 0));
                first += values.position() % columns == 0 ? 1 : 0;
            }
            target.position(target.limit());
        }
    }

    /** Some 256 MiB, of which each of two threads sends 128; the calling thread hears of all of it. */
    @Test
    void severalThreadsFillADevice() {
        int rows = 8200;
        int columns = 8192;
        Counting source = new Counting(rows, columns);
        AtomicLong told = new AtomicLong();
        Thread caller = Thread.currentThread();
        try (Ops ops = new CudaOpsProvider().create(new OpsOptions(8, null));
                Weight weight = ops.matrix(List.of(source), n -> {
                    assertSame(caller, Thread.currentThread());
                    told.addAndGet(n);
                });
                Activation x = ops.activation(rows / 4, columns);
                Batch batch = new Batch(ops, rows / 4, 1, 1, 4096)) {
            assertEquals(4L * rows * columns, told.get());
            assertEquals(2, source.readers.size());
            for (int begin = 0; begin < rows; begin += rows / 4) {
                batch.clear();
                batch.beginSequence(0, new int[1], 1, rows / 4, false);
                for (int i = 0; i < rows / 4; i++) {
                    batch.addToken(begin + i, false);
                }
                ops.embed(weight, batch, x);
                FloatBuffer values = x.buffer();
                for (int i = 0; i < rows / 4; i++) {
                    assertEquals(begin + i + 0.5f, values.get(i * columns), "row " + (begin + i));
                    assertEquals(begin + i, values.get((i + 1) * columns - 1), "row " + (begin + i));
                }
            }
        }
    }

    @Test
    void aListenerThatThrowsEndsTheLoadOfSeveralThreads() {
        IllegalStateException stop = new IllegalStateException("enough");
        try (Ops ops = new CudaOpsProvider().create(new OpsOptions(8, null))) {
            assertSame(stop, assertThrows(IllegalStateException.class, () -> ops.matrix(List.of(new Counting(8200, 8192)), n -> {
                throw stop;
            })));
            assertEquals(0, CudaLibrary.emulatedBytes());
        }
    }

    /** Rows are newest where they were written last, whoever wrote them. */
    @Test
    void hostAndDeviceSeeWhatTheOtherWrote() {
        Random random = new Random(8);
        int rows = 6;
        try (Ops ops = cuda();
                Activation x = ops.activation(rows, 3)) {
            float[] expected = new float[rows * 3];
            FloatBuffer view = x.buffer();
            for (int round = 0; round < 2000; round++) {
                if (random.nextBoolean()) {
                    int count = random.nextInt(rows + 1);
                    ops.relu(x, count);
                    for (int i = 0; i < 3 * count; i++) {
                        expected[i] = Math.max(0, expected[i]);
                    }
                }
                if (random.nextInt(3) == 0) {
                    assertSame(view, x.buffer());
                    for (int i = 0; i < expected.length; i++) {
                        assertEquals(expected[i], view.get(i), "round " + round + ", element " + i);
                        if (random.nextBoolean()) {
                            expected[i] = random.nextFloat() - 0.5f;
                            view.put(i, expected[i]);
                        }
                    }
                }
            }
        }
    }

    @Test
    void useAfterCloseIsAnException() {
        Ops ops = cuda();
        Weight w = ops.matrix(List.of(tensor(WeightType.F32, 20, 16)), n -> {});
        Activation x = ops.activation(2, 16);
        Activation y = ops.activation(2, 20);
        ops.linear(x, 2, w, null, y);
        w.close();
        w.close();
        assertThrows(IllegalStateException.class, () -> ops.linear(x, 2, w, null, y));
        FloatBuffer kept = y.buffer();
        kept.put(3, 5f);
        y.close();
        assertThrows(IllegalStateException.class, y::buffer);
        assertEquals(0f, kept.get(3), "memory given back reads as zeros");
        ops.close();
        ops.close();
        assertThrows(IllegalStateException.class, () -> ops.relu(x, 1));
        assertThrows(IllegalStateException.class, () -> ops.activation(1, 1));
        x.close();
    }

    @Test
    void whatBelongsToOthersIsRefused() {
        try (Ops ops = cuda();
                Ops other = cuda();
                Ops java = Instances.java();
                Activation x = ops.activation(2, 16);
                Activation y = ops.activation(2, 16);
                Activation strange = java.activation(2, 16);
                Weight w = other.matrix(List.of(tensor(WeightType.F32, 16, 16)), n -> {})) {
            assertThrows(IllegalArgumentException.class, () -> ops.relu(strange, 1));
            assertThrows(IllegalArgumentException.class, () -> ops.linear(x, 2, w, null, y));
            assertThrows(IllegalArgumentException.class, () -> ops.relu(x, 3));
            assertThrows(BackendUnavailableException.class, () -> ops.kvCache(new KvLayout(KvCacheType.F16, 1, 1, 16, 1, 512)));
        }
    }

    @Test
    void closingWhileAnotherThreadComputesBreaksNothing() throws InterruptedException {
        for (int round = 0; round < 10; round++) {
            Ops ops = cuda();
            Weight w = ops.matrix(List.of(tensor(WeightType.Q8_0, 64, 64)), n -> {});
            Activation x = ops.activation(2, 64);
            Activation y = ops.activation(2, 64);
            AtomicReference<Throwable> end = new AtomicReference<>();
            Thread engine = new Thread(() -> {
                try {
                    while (true) {
                        ops.linear(x, 2, w, null, y);
                    }
                } catch (Throwable t) {
                    end.set(t);
                }
            });
            engine.start();
            Thread.sleep(2);
            for (AutoCloseable one : new AutoCloseable[] {y, w, ops, x}) {
                try {
                    one.close();
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }
            engine.join();
            assertTrue(end.get() instanceof IllegalStateException, () -> "ended with " + end.get());
        }
    }
}
