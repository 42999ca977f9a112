package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
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
import io.qwen4j.core.testing.PackedCheckpoints;
import io.qwen4j.core.testing.PackedCheckpoints.Form;
import io.qwen4j.core.testing.SafetensorsBuilder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.jspecify.annotations.Nullable;

/** Whole decoders from checkpoints of GPTQ and AWQ compute what the expanded weights compute. */
class PackedModelTest {
    private static final long SEED = 23;
    private static final QwenConfig DENSE =
            new QwenConfig("qwen2", 2, 128, 4, 2, 32, 384, 96, false, 1e-6f, 128, new QwenConfig.Rope(1e4, null));
    private static final QwenConfig EXPERTS = new QwenConfig(
            "qwen2_moe", 2, 128, 4, 2, 32, 384, 96, false, 1e-6f, 128, new QwenConfig.Rope(1e4, null),
            new QwenConfig.Experts(5, 2, 128, 256, true, 1, Set.of()), QwenConfig.Head.LANGUAGE);
    private static final Form ACT_ORDER = new Form(false, 4, 32, 1, true, false, false);

    @TempDir
    private Path directory;

    static List<Form> forms() {
        return PackedCheckpoints.forms();
    }

    private static float[] logits(Path model, @Nullable WeightType quantization) {
        try (Ops ops = new JavaOps(new OpsOptions(2, null));
                Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT);
                QwenWeights weights = QwenWeights.load(checkpoint, ops, quantization, true, ProgressListener.none())) {
            assertEquals(QwenWeights.bytesNeeded(checkpoint, ops, quantization), weights.bytes());
            QwenConfig c = checkpoint.config();
            QwenDecoder decoder = new QwenDecoder(c, weights, ops, 8, 8,
                    ops.kvCache(new KvLayout(KvCacheType.F32, c.layers(), 1, 32, c.kvHeads(), c.headSize())));
            Batch batch = new Batch(ops, 8, 1, 1, 32);
            batch.beginSequence(0, new int[] {0}, 1);
            for (int id : new int[] {5, 77, 95, 0, 3}) {
                batch.addToken(id, true);
            }
            Activation logits = decoder.forward(batch);
            float[] out = new float[5 * c.vocabularyRows()];
            logits.buffer().get(0, out);
            for (float x : out) {
                assertTrue(Float.isFinite(x));
            }
            return out;
        }
    }

    /** The Java backend decodes to the very values of the formula and sums them in the order of the columns: not a bit differs. */
    @ParameterizedTest
    @MethodSource("forms")
    void logitsAreThoseOfTheExpandedWeights(Form form) {
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), DENSE, form, SEED);
        Path expanded = PackedCheckpoints.writeExpanded(directory.resolve("expanded"), DENSE, form, SEED);
        assertArrayEquals(logits(expanded, null), logits(packed, null));
    }

    @ParameterizedTest
    @MethodSource("forms")
    void expertsAreThoseOfTheExpandedWeights(Form form) {
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), EXPERTS, form, SEED);
        Path expanded = PackedCheckpoints.writeExpanded(directory.resolve("expanded"), EXPERTS, form, SEED);
        assertArrayEquals(logits(expanded, null), logits(packed, null));
    }

    /** Conversion while loading and to a file takes the columns in their own order. */
    @ParameterizedTest
    @EnumSource(names = {"F32", "Q8_0", "Q4_K", "Q4_0"})
    void convertsToGgufTypes(WeightType type) {
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), DENSE, ACT_ORDER, SEED);
        Path expanded = PackedCheckpoints.writeExpanded(directory.resolve("expanded"), DENSE, ACT_ORDER, SEED);
        float[] expected = logits(expanded, type);
        assertArrayEquals(expected, logits(packed, type));
        Path file = directory.resolve("converted.gguf");
        Quantizer.quantizeFile(packed, type, file, ModelLimits.DEFAULT, ProgressListener.none());
        assertArrayEquals(expected, logits(file, null));
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.MATCH_ALL, names = "INT.*")
    void nothingIsQuantizedToTypesThatGgufHasNot(WeightType type) {
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), DENSE, ACT_ORDER, SEED);
        Path file = directory.resolve("converted.gguf");
        for (IllegalArgumentException e : List.of(
                assertThrows(
                        IllegalArgumentException.class,
                        () -> Quantizer.quantizeFile(packed, type, file, ModelLimits.DEFAULT, ProgressListener.none())),
                assertThrows(
                        IllegalArgumentException.class,
                        () -> Synthesizer.synthesizeFile("x", DENSE, 80, type, 1, file, ProgressListener.none())),
                assertThrows(IllegalArgumentException.class, () -> LoadOptions.builder().quantization(type).build()))) {
            assertTrue(e.getMessage().contains(type.name()), e.getMessage());
        }
        assertTrue(!file.toFile().exists());
    }

    /** An infinite scale is found, and named by the column that it belongs to. */
    @Test
    void scalesAreChecked() {
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), DENSE, ACT_ORDER, SEED);
        SafetensorsBuilder builder = PackedCheckpoints.packed(DENSE, ACT_ORDER, SEED);
        String entry = builder.entries().get("model.layers.1.mlp.down_proj.scales");
        int offsets = entry.indexOf("\"data_offsets\":[") + 16;
        int place = Integer.parseInt(entry.substring(offsets, entry.indexOf(',', offsets)));
        byte[] data = builder.data();
        // Group 2 of row 9.
        data[place + 2 * (2 * 128 + 9)] = 0;
        data[place + 2 * (2 * 128 + 9) + 1] = 0x7c;
        SafetensorsBuilder.write(packed.resolve("model.safetensors"), builder.header().getBytes(StandardCharsets.UTF_8), data);
        ModelFileException e = assertThrows(ModelFileException.class, () -> logits(packed, null));
        assertEquals(Reason.VALUE, e.reason());
        try (Checkpoint checkpoint = CheckpointReader.open(packed, ModelLimits.DEFAULT)) {
            int[] order = checkpoint.tensor("model.layers.1.mlp.down_proj.weight").orElseThrow().columnOrder();
            assertTrue(e.getMessage().contains("down_proj.weight: the scale of the block of value [9, " + order[64] + "]"), e.getMessage());
        }
    }
}
