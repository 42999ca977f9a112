package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import io.qwen4j.core.testing.BytesTensor;
import io.qwen4j.core.testing.MemoryCheckpoint;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class QwenWeightsTest {
    private static final QwenConfig TIED = QwenDecoderTest.small(true, 2);
    private static final QwenConfig UNTIED = QwenDecoderTest.small(false, 3);

    private final Ops ops = new JavaOps(new OpsOptions(1, null));

    @AfterEach
    void close() {
        ops.close();
    }

    private QwenWeights load(MemoryCheckpoint checkpoint, boolean checkValues) {
        return QwenWeights.load(checkpoint, ops, null, checkValues, ProgressListener.none());
    }

    @Test
    void stacksWhatIsUsedTogether() {
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(UNTIED, WeightType.F16, 1);
        try (QwenWeights weights = load(checkpoint, false)) {
            QwenWeights.Layer layer = weights.layer(2);
            assertEquals((4 + 2 * 2) * 16, layer.qkv().rows());
            assertEquals(64, layer.qkv().columns());
            assertEquals((4 + 2 * 2) * 16, layer.qkvBias().columns());
            assertEquals(2 * 96, layer.gateUp().rows());
            assertEquals(64, layer.down().rows());
            assertEquals(130, weights.head().output().rows());
            assertTrue(weights.head().output() != weights.embedding());
            assertEquals(QwenWeights.bytesNeeded(checkpoint, ops, null), weights.bytes());
        }
        try (QwenWeights weights = load(MemoryCheckpoint.random(TIED, WeightType.F16, 1), false)) {
            assertSame(weights.embedding(), weights.head().output());
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"Q8_0", "Q4_K", "F32", "BF16"})
    void needsAreKnownBefore(WeightType type) {
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(UNTIED, WeightType.BF16, 1);
        try (QwenWeights weights = QwenWeights.load(checkpoint, ops, type, false, ProgressListener.none())) {
            assertEquals(QwenWeights.bytesNeeded(checkpoint, ops, type), weights.bytes());
        }
        KvLayout cache = new KvLayout(KvCacheType.F16, 3, 10, 32, 2, 16);
        long weightBytes = QwenWeights.bytesNeeded(checkpoint, ops, type);
        MemoryNeeds needs = MemoryNeeds.of(weightBytes, checkpoint.config(), ops, 512, 8, cache, 0);
        assertEquals(3 * 2 * 2 * 16 * 2 * 320, needs.cacheBytes());
        assertEquals(weightBytes, needs.weightBytes());
        // x, normed, outputs (64); qkv (128); attended (64); gate and up (192); gated (96); rotation (16): 512 rows. Window and logits: 8
        // rows.
        assertEquals(4L * (512 * (3 * 64 + 128 + 64 + 192 + 96 + 16) + 8 * (64 + 130)), needs.activationBytes());
        // Centres of keys double the rotations.
        KvLayout centred = new KvLayout(KvCacheType.INT8, 3, 10, 32, 2, 16);
        assertEquals(
                needs.activationBytes() + 4 * 512 * 16, MemoryNeeds.of(weightBytes, checkpoint.config(), ops, 512, 8, centred, 0).activationBytes());
        needs.check(needs.totalBytes());
        InsufficientMemoryException e =
                assertThrows(InsufficientMemoryException.class, () -> needs.check(needs.totalBytes() - 1));
        assertEquals(needs.totalBytes(), e.requiredBytes());
        assertEquals(needs.totalBytes() - 1, e.availableBytes());
        assertTrue(e.getMessage().contains("KV cache 1 MiB"), e.getMessage());
    }

    @Test
    void aRewardHeadIsKeptAsItIsAndTakesNoLogits() {
        QwenConfig config = UNTIED.with(QwenConfig.Head.PROCESS_REWARD);
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(config, WeightType.BF16, 1);
        try (QwenWeights weights = QwenWeights.load(checkpoint, ops, null, true, ProgressListener.none());
                QwenWeights converted = QwenWeights.load(checkpoint, ops, WeightType.Q8_0, true, ProgressListener.none())) {
            QwenWeights.Head head = converted.head();
            assertEquals(64 * 64 * 2, head.hidden().weight().bytes(), "BF16");
            assertEquals(2 * 64 * 2, head.output().bytes(), "BF16");
            assertEquals(64, head.hidden().bias().columns());
            assertEquals(2, head.bias().columns());
            assertTrue(converted.layer(0).qkv().bytes() < weights.layer(0).qkv().bytes());
            assertEquals(QwenWeights.bytesNeeded(checkpoint, ops, WeightType.Q8_0), converted.bytes());
        }
        KvLayout cache = new KvLayout(KvCacheType.F16, 3, 10, 32, 2, 16);
        // Beside the window a row has the output of the first layer and two numbers.
        assertEquals(
                QwenDecoder.activationBytes(UNTIED, 512, 8, cache) - 4 * 8 * 130 + 4 * 8 * (64 + 2),
                QwenDecoder.activationBytes(config, 512, 8, cache));
    }

    @Test
    void availableMemoryIsPositiveAndBounded() {
        long available = MemoryNeeds.availableBytes(ops);
        assertTrue(available > 0 && available <= Runtime.getRuntime().maxMemory(), () -> "" + available);
    }

    @Test
    void progressStartsGrowsAndEnds() {
        List<Long> heard = new ArrayList<>();
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(UNTIED, WeightType.F32, 1);
        QwenWeights.load(checkpoint, ops, null, false, (stage, done, total) -> {
            assertEquals("load", stage);
            assertTrue(done >= 0 && done <= total);
            assertTrue(heard.isEmpty() || heard.get(heard.size() - 1) <= done);
            heard.add(done);
        }).close();
        assertEquals(0, heard.get(0));
        assertTrue(heard.size() > 10 && heard.size() < 110, () -> "" + heard.size());
        long matrices = checkpoint.tensors().values().stream().filter(t -> t.rows() > 1).mapToLong(TensorSource::byteSize).sum();
        assertEquals(matrices, heard.get(heard.size() - 1));
    }

    @Test
    void aMissingTensorIsNamed() {
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(TIED, WeightType.F32, 1);
        checkpoint.tensors().remove("model.layers.1.self_attn.k_proj.bias");
        ModelFileException e = assertThrows(ModelFileException.class, () -> load(checkpoint, false));
        assertEquals(Reason.MISSING, e.reason());
        assertTrue(e.getMessage().contains("model.layers.1.self_attn.k_proj.bias"), e.getMessage());
    }

    @Test
    void aWrongShapeIsRefused() {
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(TIED, WeightType.F32, 1);
        String name = "model.layers.0.mlp.down_proj.weight";
        checkpoint.tensors().put(name, BytesTensor.of(name, WeightType.F32, 96, 64, new float[96 * 64]));
        ModelFileException e = assertThrows(ModelFileException.class, () -> load(checkpoint, false));
        assertEquals(Reason.SHAPE, e.reason());
        assertTrue(e.getMessage().contains("96 x 64, expected 64 x 96"), e.getMessage());
    }

    @Test
    void aQuantizedVectorIsRefused() {
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(TIED, WeightType.F32, 1);
        checkpoint.tensors().put("model.norm.weight",
                BytesTensor.of("model.norm.weight", WeightType.Q8_0, 1, 64, new float[64]));
        assertEquals(Reason.UNSUPPORTED, assertThrows(ModelFileException.class, () -> load(checkpoint, false)).reason());
    }

    @ParameterizedTest
    @CsvSource({
        "F32, 12, 4, 7fc00000", "F32, 12, 4, 7f800000", "F16, 6, 2, 7c00", "F16, 6, 2, fe01", "BF16, 6, 2, ff80", "BF16, 6, 2, 7f81",
        "Q8_0, 34, 2, 7c00", "Q4_1, 22, 2, 7e00"
    })
    void badValuesAreFoundOnRequest(WeightType type, int at, int count, String bits) {
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(TIED, type, 1);
        String name = "model.layers.1.mlp.up_proj.weight";
        byte[] bytes = ((BytesTensor) checkpoint.tensors().get(name)).bytes();
        long value = Long.parseLong(bits, 16);
        for (int i = 0; i < count; i++) {
            bytes[at + i] = (byte) (value >>> 8 * i);
        }
        ModelFileException e = assertThrows(ModelFileException.class, () -> load(checkpoint, true));
        assertEquals(Reason.VALUE, e.reason());
        String place = type.isQuantized() ? "[0, 32]" : "[0, 3]";
        assertTrue(e.getMessage().contains(name) && e.getMessage().contains(place), e.getMessage());
        load(checkpoint, false).close();
    }

    @ParameterizedTest
    @EnumSource
    void everyScaleOfABlockIsLookedAt(WeightType type) {
        String name = "model.embed_tokens.weight";
        int n = 512;
        QwenConfig config = new QwenConfig("qwen2", 1, n, 4, 2, 128, 512, 5, true, 1e-6f, 512, new QwenConfig.Rope(1e4, null));
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(config, type, 1);
        load(checkpoint, true).close();
        byte[] good = ((BytesTensor) checkpoint.tensors().get(name)).bytes();
        int finite = 0;
        int found = 0;
        // Bits of infinity at each place of the second block: refused exactly where a decoded value gets infinite or NaN.
        for (int at = type.blockBytes(); at + 2 <= 2 * type.blockBytes(); at += 2) {
            byte[] bytes = good.clone();
            bytes[at] = 0;
            bytes[at + 1] = 0x7c;
            if (type == WeightType.F32) {
                bytes[at] = (byte) 0x80;
                bytes[at + 1] = 0x7f;
            }
            BytesTensor damaged = new BytesTensor(name, type, 5, n, bytes);
            boolean bad = false;
            for (float x : damaged.values()) {
                bad |= !Float.isFinite(x);
            }
            checkpoint.tensors().put(name, damaged);
            if (bad) {
                assertEquals(Reason.VALUE, assertThrows(ModelFileException.class, () -> load(checkpoint, true)).reason());
                found++;
            } else {
                load(checkpoint, true).close();
                finite++;
            }
        }
        assertEquals(type == WeightType.BF16 ? 0 : 1, Math.min(1, found), () -> type + ": nothing was damaged");
        assertTrue(finite + found > 0);
    }

    /** Whatever fails, and when: all that was taken is closed. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 5, 12, 20})
    void aFailureMidwayFreesEverything(int failing) {
        List<Weight> made = new ArrayList<>();
        List<Weight> closed = new ArrayList<>();
        Ops counting = (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, arguments) -> {
            if (method.getName().equals("matrix") || method.getName().equals("vector")) {
                if (made.size() == failing) {
                    throw new InsufficientMemoryException("no memory", 1, 0);
                }
                Weight weight = (Weight) Proxy.newProxyInstance(Weight.class.getClassLoader(), new Class<?>[] {Weight.class},
                        (self, call, none) -> {
                            if (call.getName().equals("close")) {
                                closed.add((Weight) self);
                                return null;
                            }
                            return call.getName().equals("equals") ? (Object) (self == none[0]) : (Object) 0;
                        });
                made.add(weight);
                return weight;
            }
            if (method.isDefault()) {
                return InvocationHandler.invokeDefault(proxy, method, arguments);
            }
            throw new UnsupportedOperationException(method.getName());
        });
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(UNTIED, WeightType.F32, 1);
        assertThrows(InsufficientMemoryException.class,
                () -> QwenWeights.load(checkpoint, counting, null, false, ProgressListener.none()));
        assertEquals(failing, made.size());
        assertEquals(made, closed);
    }

    @Test
    void aListenerThatThrowsEndsTheLoading() {
        MemoryCheckpoint checkpoint = MemoryCheckpoint.random(UNTIED, WeightType.F32, 1);
        assertThrows(IllegalStateException.class, () -> QwenWeights.load(checkpoint, ops, null, false, (stage, done, total) -> {
            if (done > total / 2) {
                throw new IllegalStateException("enough");
            }
        }));
    }
}
