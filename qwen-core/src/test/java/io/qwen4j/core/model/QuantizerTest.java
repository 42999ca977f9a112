package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.KvCacheType;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelLimits;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.jspecify.annotations.Nullable;

class QuantizerTest {
    // D is a multiple of 32 only, F one of 256: K types fall back in all matrices but the down projections.
    private static final QwenConfig CONFIG =
            new QwenConfig("qwen2", 2, 96, 6, 2, 16, 256, 130, false, 1e-6f, 128, new QwenConfig.Rope(1e4, null));

    @TempDir
    private Path directory;

    private Path model;

    @BeforeEach
    void write() {
        model = TinyCheckpoints.directory(directory.resolve("model"), CONFIG, WeightType.BF16, 4);
    }

    @Test
    void refusesRewardModels() {
        Path reward = TinyCheckpoints.directory(directory.resolve("reward"), CONFIG.with(QwenConfig.Head.REWARD), WeightType.BF16, 4);
        Path output = directory.resolve("reward.gguf");
        ModelFileException e = assertThrows(ModelFileException.class, () -> quantize(reward, WeightType.Q8_0, output));
        assertEquals(ModelFileException.Reason.UNSUPPORTED, e.reason());
        assertTrue(e.getMessage().startsWith(reward + ": the head of the model is REWARD"), e.getMessage());
        assertFalse(Files.exists(output));
    }

    private static byte[] bytes(TensorSource source) {
        byte[] out = new byte[(int) source.byteSize()];
        source.read(0, ByteBuffer.wrap(out));
        return out;
    }

    private static void quantize(Path model, WeightType type, Path output) {
        Quantizer.quantizeFile(model, type, output, ModelLimits.DEFAULT, ProgressListener.none());
    }

    private static float[] logits(Path model, @Nullable WeightType quantization) {
        try (Ops ops = new JavaOps(new OpsOptions(1, null));
                Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT);
                QwenWeights weights = QwenWeights.load(checkpoint, ops, quantization, true, ProgressListener.none())) {
            QwenConfig c = checkpoint.config();
            QwenDecoder decoder = new QwenDecoder(c, weights, ops, 8, 8,
                    ops.kvCache(new KvLayout(KvCacheType.F32, c.layers(), 1, 32, c.kvHeads(), c.headSize())));
            Batch batch = new Batch(ops, 8, 1, 1, 32);
            batch.beginSequence(0, new int[] {0}, 1);
            for (int id : new int[] {5, 77, 129, 0, 3}) {
                batch.addToken(id, true);
            }
            Activation logits = decoder.forward(batch);
            float[] out = new float[5 * c.vocabularyRows()];
            logits.buffer().get(0, out);
            return out;
        }
    }

    /** A quantized file computes the very logits of quantization while loading. */
    @ParameterizedTest
    @EnumSource
    void fileAndLoadingAgree(WeightType type) {
        Path output = directory.resolve("out.gguf");
        quantize(model, type, output);
        assertArrayEquals(logits(model, type), logits(output, null));
        try (Checkpoint from = CheckpointReader.open(model, ModelLimits.DEFAULT);
                Checkpoint to = CheckpointReader.open(output, ModelLimits.DEFAULT)) {
            assertEquals(from.config(), to.config());
            assertEquals(from.tensorNames(), to.tensorNames());
            for (QwenTensors.Expected expected : QwenTensors.of(CONFIG)) {
                TensorSource tensor = to.tensor(expected.name()).orElseThrow();
                WeightType wanted = WeightType.F32;
                if (expected.matrix()) {
                    boolean small = type.isQuantized() && type != WeightType.Q8_0 && expected.name().equals(QwenTensors.HEAD);
                    wanted = QuantizationPlan.fitting(small ? WeightType.Q6_K : type, expected.columns());
                }
                assertEquals(wanted, tensor.type(), expected.name());
                assertArrayEquals(expected.shape(), to.shape(expected.name()));
            }
        }
    }

    @Test
    void aQuantizedFileCanBeQuantizedAgain() {
        Path large = directory.resolve("large.gguf");
        Path small = directory.resolve("small.gguf");
        quantize(model, WeightType.F32, large);
        assertArrayEquals(logits(model, null), logits(large, null));
        quantize(large, WeightType.Q8_0, small);
        assertArrayEquals(logits(model, WeightType.Q8_0), logits(small, null));
        try (Checkpoint checkpoint = CheckpointReader.open(small, ModelLimits.DEFAULT)) {
            TensorSource down = checkpoint.tensor("model.layers.1.mlp.down_proj.weight").orElseThrow();
            assertEquals(WeightType.Q8_0, down.type());
            assertEquals(96 * 256 / 32 * 34, bytes(down).length);
        }
    }

    @Test
    void tiedHeadsAreWrittenOnce() {
        QwenConfig tied = TinyCheckpoints.config(true);
        Path source = TinyCheckpoints.directory(directory.resolve("tied"), tied, WeightType.F16, 1);
        Path output = directory.resolve("tied.gguf");
        quantize(source, WeightType.Q4_0, output);
        try (Checkpoint checkpoint = CheckpointReader.open(output, ModelLimits.DEFAULT)) {
            assertTrue(checkpoint.config().tiedHead());
            assertFalse(checkpoint.tensorNames().contains(QwenTensors.HEAD));
            assertEquals(WeightType.Q8_0, checkpoint.tensor(QwenTensors.EMBEDDING).orElseThrow().type());
        }
    }

    @Test
    void progressIsToldInBytesOfTheFile() throws IOException {
        List<Long> heard = new ArrayList<>();
        Path output = directory.resolve("out.gguf");
        Quantizer.quantizeFile(model, WeightType.Q8_0, output, ModelLimits.DEFAULT, (stage, done, total) -> {
            assertEquals("quantize", stage);
            assertTrue(total <= 1 << 20);
            heard.add(done);
        });
        assertEquals(0, heard.get(0));
        assertTrue(heard.size() > 5 && heard.size() < 110, () -> "" + heard);
        long last = heard.get(heard.size() - 1);
        assertTrue(last < Files.size(output) && last > Files.size(output) / 2);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 10})
    void whatIsBrokenOffLeavesNothingBehind(int calls) throws IOException {
        Path output = directory.resolve("out.gguf");
        int[] left = {calls};
        assertThrows(IllegalStateException.class,
                () -> Quantizer.quantizeFile(model, WeightType.Q4_0, output, ModelLimits.DEFAULT, (stage, done, total) -> {
                    if (left[0]-- == 0) {
                        throw new IllegalStateException("enough");
                    }
                }));
        try (Stream<Path> files = Files.list(directory)) {
            assertEquals(List.of(model), files.toList());
        }
    }

    @Test
    void theModelItselfAndDirectoriesAreNotOverwritten() throws IOException {
        Path file = directory.resolve("f.gguf");
        quantize(model, WeightType.F16, file);
        long size = Files.size(file);
        assertThrows(IllegalArgumentException.class, () -> quantize(file, WeightType.Q8_0, file));
        assertThrows(IllegalArgumentException.class, () -> quantize(file, WeightType.Q8_0, directory.resolve("./f.gguf")));
        assertThrows(IllegalArgumentException.class, () -> quantize(model, WeightType.Q8_0, model));
        assertEquals(size, Files.size(file));
        Path other = directory.resolve("g.gguf");
        Files.writeString(other, "old");
        quantize(file, WeightType.Q8_0, other);
        assertTrue(Files.size(other) > 1000);
    }
}
