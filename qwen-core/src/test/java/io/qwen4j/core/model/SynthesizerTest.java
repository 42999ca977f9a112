package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.KvCacheType;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelLimits;
import io.qwen4j.ModelShape;
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
import io.qwen4j.core.quant.BlockCodec;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class SynthesizerTest {
    private static final int ORDINARY = 320;
    // D is a multiple of 32 only, F one of 256: K types fall back in all matrices but the down projections.
    private static final QwenConfig UNTIED =
            new QwenConfig("qwen2", 2, 96, 6, 2, 16, 256, 350, false, 1e-6f, 128, new QwenConfig.Rope(1e6, null));
    private static final QwenConfig TIED =
            new QwenConfig("qwen2", 2, 256, 4, 2, 64, 512, 350, true, 1e-6f, 128, new QwenConfig.Rope(1e6, null));

    private static final QwenConfig EXPERTS = new QwenConfig(
                    "qwen2_moe", 2, 256, 4, 2, 64, 512, 350, true, 1e-6f, 128, new QwenConfig.Rope(1e6, null))
            .with(new QwenConfig.Experts(5, 2, 256, 256, false, 1, Set.of()));

    @TempDir
    private Path directory;

    private Path write(String name, QwenConfig config, WeightType type, long seed) {
        Path file = directory.resolve(name);
        Synthesizer.synthesizeFile("a test", config, ORDINARY, type, seed, file, ProgressListener.none());
        return file;
    }

    private static float[] values(TensorSource source) {
        byte[] bytes = new byte[(int) source.byteSize()];
        source.read(0, ByteBuffer.wrap(bytes));
        float[] values = new float[(int) (source.rows() * source.columns())];
        BlockCodec.of(source.type()).decode(bytes, 0, values, 0, values.length);
        return values;
    }

    /** Mean and standard deviation. */
    private static double[] moments(float[] values) {
        double sum = 0;
        double squares = 0;
        for (float value : values) {
            sum += value;
            squares += (double) value * value;
        }
        double mean = sum / values.length;
        return new double[] {mean, Math.sqrt(squares / values.length - mean * mean)};
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.MATCH_NONE, names = "INT.*")
    void tensorsHaveTheShapesTypesAndSpreadOfTheTable(WeightType type) {
        for (QwenConfig config : type == WeightType.Q4_K ? List.of(UNTIED, TIED, EXPERTS) : List.of(UNTIED)) {
            Path file = write(type + ".gguf", config, type, 1);
            try (Checkpoint checkpoint = CheckpointReader.open(file, ModelLimits.DEFAULT)) {
                assertEquals(config, checkpoint.config());
                assertEquals(QwenTensors.of(config).size(), checkpoint.tensorNames().size());
                for (QwenTensors.Expected expected : QwenTensors.of(config)) {
                    TensorSource tensor = checkpoint.tensor(expected.name()).orElseThrow();
                    boolean row = expected.kind() == QwenTensors.Kind.ROW; // of one dimension in GGUF
                    long[] shape = row ? new long[] {expected.columns()} : expected.shape();
                    assertArrayEquals(shape, checkpoint.shape(expected.name()), expected.name());
                    assertEquals(QuantizationPlan.typeOf(config, expected, type), tensor.type(), expected.name());
                    double[] moments = moments(values(tensor));
                    double deviation = expected.matrix() ? 1 / Math.sqrt(expected.columns()) : 0.02;
                    double mean = expected.name().endsWith("norm.weight") ? 1 : 0;
                    // The shortest vector has 32 values: 5 standard errors of its mean and deviation are 0.9 and 0.6 deviations.
                    assertEquals(mean, moments[0], 0.9 * deviation, expected.name());
                    assertEquals(deviation, moments[1], 0.6 * deviation, expected.name());
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"Q4_0", "Q2_K", "BF16"})
    void logitsAreOrdinary(WeightType type) {
        logitsAreOrdinary(TIED, type);
        logitsAreOrdinary(EXPERTS, type);
    }

    private void logitsAreOrdinary(QwenConfig config, WeightType type) {
        try (Ops ops = new JavaOps(new OpsOptions(1, null));
                Checkpoint checkpoint = CheckpointReader.open(write("m.gguf", config, type, 3), ModelLimits.DEFAULT);
                QwenWeights weights = QwenWeights.load(checkpoint, ops, null, true, ProgressListener.none())) {
            QwenDecoder decoder = new QwenDecoder(config, weights, ops, 8, 8,
                    ops.kvCache(new KvLayout(KvCacheType.F32, TIED.layers(), 1, 32, TIED.kvHeads(), TIED.headSize())));
            Batch batch = new Batch(ops, 8, 1, 1, 32);
            batch.beginSequence(0, new int[] {0}, 1);
            for (int id : new int[] {5, 77, 349, 0, 3}) {
                batch.addToken(id, true);
            }
            Activation logits = decoder.forward(batch);
            float[] out = new float[5 * TIED.vocabularyRows()];
            logits.buffer().get(0, out);
            assertEquals(1, moments(out)[1], 0.3);
        }
    }

    @Test
    void equalSeedsGiveEqualFiles() throws IOException {
        byte[] first = Files.readAllBytes(write("a.gguf", TIED, WeightType.Q4_K, 7));
        assertArrayEquals(first, Files.readAllBytes(write("b.gguf", TIED, WeightType.Q4_K, 7)));
        byte[] other = Files.readAllBytes(write("c.gguf", TIED, WeightType.Q4_K, 8));
        assertEquals(first.length, other.length);
        int differ = 0;
        for (int i = first.length / 2; i < first.length; i++) {
            differ += first[i] != other[i] ? 1 : 0;
        }
        assertTrue(differ > first.length / 4, differ + " of " + first.length / 2);
    }

    /** Parameters in millions, as table 1 of the technical report rounds them. */
    @ParameterizedTest
    @CsvSource({
        "QWEN25_0_5B, 494, 290",
        "QWEN25_1_5B, 1544, 338",
        "QWEN25_3B, 3086, 434",
        "QWEN25_7B, 7616, 339",
        "QWEN25_14B, 14770, 579",
        "QWEN25_32B, 32764, 771",
        "QWEN25_72B, 72706, 963",
        "QWEN15_MOE_A2_7B, 14316, 411",
        "QWEN2_57B_A14B, 57409, 479"
    })
    void shapesHaveTheParametersOfTheFamily(ModelShape shape, long millions, int tensors) {
        List<QwenTensors.Expected> table = QwenTensors.of(Synthesizer.config(shape));
        assertEquals(millions, Math.round(table.stream().mapToLong(t -> t.count() * t.rows() * t.columns()).sum() / 1e6));
        assertEquals(tensors, table.size());
        assertEquals(0, shape.hiddenSize() % shape.heads());
        assertEquals(shape == ModelShape.QWEN25_0_5B ? 64 : 128, shape.hiddenSize() / shape.heads());
    }

    @Test
    void progressIsToldInBytesOfTheFile() throws IOException {
        List<Long> heard = new ArrayList<>();
        Path file = directory.resolve("p.gguf");
        Synthesizer.synthesizeFile("a test", UNTIED, ORDINARY, WeightType.F32, 0, file, (stage, done, total) -> {
            assertEquals("synthesize", stage);
            heard.add(done);
        });
        assertEquals(0, heard.get(0));
        assertTrue(heard.size() > 5 && heard.size() < 110, () -> "" + heard);
        long last = heard.get(heard.size() - 1);
        assertTrue(last < Files.size(file) && last > Files.size(file) / 2);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 10})
    void whatIsBrokenOffLeavesNothingBehind(int calls) throws IOException {
        int[] left = {calls};
        assertThrows(IllegalStateException.class, () -> Synthesizer.synthesizeFile(
                "a test", UNTIED, ORDINARY, WeightType.Q4_0, 0, directory.resolve("o.gguf"), (stage, done, total) -> {
                    if (left[0]-- == 0) {
                        throw new IllegalStateException("enough");
                    }
                }));
        try (Stream<Path> files = Files.list(directory)) {
            assertEquals(List.of(), files.toList());
        }
    }

    @Test
    void whatCannotBeWrittenIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> write("", TIED, WeightType.Q8_0, 0));
        Path nowhere = directory.resolve("none/f.gguf");
        assertThrows(ModelFileException.class, () -> write("none/f.gguf", TIED, WeightType.Q8_0, 0));
        assertFalse(Files.exists(nowhere));
        QwenConfig few = new QwenConfig("qwen2", 1, 64, 4, 2, 16, 64, 341, true, 1e-6f, 128, new QwenConfig.Rope(1e6, null));
        assertThrows(IllegalArgumentException.class, () -> write("few.gguf", few, WeightType.F16, 0));
    }

    @Test
    void aFileThatIsLargerThanTheDiskIsRefusedBeforeItIsBegun() throws IOException {
        // 2^20 columns and as many layers as it takes: more than any disk, and a table of a few megabytes.
        int wide = 1 << 20;
        QwenConfig huge =
                new QwenConfig("qwen2", 512, wide, 64, 64, wide / 64, wide, 350, true, 1e-6f, 128, new QwenConfig.Rope(1e6, null));
        ModelFileException e = assertThrows(ModelFileException.class, () -> write("huge.gguf", huge, WeightType.F32, 0));
        assertTrue(e.getMessage().contains("bytes, the disk has "), e.getMessage());
        try (Stream<Path> files = Files.list(directory)) {
            assertEquals(List.of(), files.toList());
        }
    }
}
