package io.qwen4j.core.format.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.format.ModelDirectory;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import io.qwen4j.core.testing.GoldenFiles;
import io.qwen4j.core.testing.PackedCheckpoints;
import io.qwen4j.core.testing.PackedCheckpoints.Form;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Matrices of GPTQ and AWQ checkpoints, value by value. */
class PackedTensorTest {
    private static final long SEED = 17;
    /** Rows around and beyond what is unpacked at once; all columns are multiples of 128. */
    private static final QwenConfig CONFIG =
            new QwenConfig("qwen2", 1, 256, 8, 1, 32, 384, 40, false, 1e-6f, 128, new QwenConfig.Rope(1e4, null));

    @TempDir
    private Path directory;

    static List<Form> forms() {
        return PackedCheckpoints.forms();
    }

    private static float[] values(TensorSource source) {
        int columns = (int) source.columns();
        float[] stored = new float[(int) (source.rows() * columns)];
        BlockCodec.of(source.type()).decode(TinyCheckpoints.bytes(source), 0, stored, 0, stored.length);
        int[] order = source.columnOrder();
        if (order == null) {
            return stored;
        }
        float[] out = new float[stored.length];
        for (int i = 0; i < out.length; i++) {
            out[i / columns * columns + order[i % columns]] = stored[i];
        }
        return out;
    }

    @ParameterizedTest
    @MethodSource("forms")
    void everyValueIsThatOfTheFormula(Form form) {
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), CONFIG, form, SEED);
        Path expanded = PackedCheckpoints.writeExpanded(directory.resolve("expanded"), CONFIG, form, SEED).resolve("model.safetensors");
        String size = form.groupSize() == -1 || form.groupSize() % 128 == 0 ? "_G128" : "_G32";
        WeightType type = WeightType.valueOf("INT" + form.bits() + size);
        try (Checkpoint checkpoint = CheckpointReader.open(packed, ModelLimits.DEFAULT)) {
            int quantized = 0;
            for (QwenTensors.Expected e : QwenTensors.of(CONFIG)) {
                TensorSource source = checkpoint.tensor(e.name()).orElseThrow();
                assertArrayEquals(GoldenFiles.floats(expanded, e.name()), values(source), e.name());
                assertArrayEquals(e.shape(), checkpoint.shape(e.name()));
                if (source.type() == type) {
                    quantized++;
                    assertEquals(form.actOrder(), source.columnOrder() != null, e.name());
                } else {
                    assertEquals(WeightType.F16, source.type(), e.name());
                }
            }
            assertEquals(form.head() ? 8 : 7, quantized);
            // Nothing else is there, neither parts nor biases of zeros.
            assertEquals(QwenTensors.of(CONFIG).size(), checkpoint.tensorNames().size());
            long parameters = QwenTensors.of(CONFIG).stream().mapToLong(e -> e.rows() * e.columns()).sum();
            assertEquals(parameters, checkpoint.describe().parameters());
            String described = checkpoint.describe().quantization();
            assertTrue(described.startsWith(form.awq() ? "AWQ, 4 bits" : "GPTQ, " + form.bits() + " bits"), described);
            assertEquals(form.actOrder(), described.endsWith("act order"));
        }
    }

    /** Slabs of the least number of rows, so that a tensor has many, read in parts of any size by many threads at once. */
    @ParameterizedTest
    @MethodSource("forms")
    void anyReadGivesTheSameBytes(Form form) {
        var config = new QwenConfig("qwen2", 1, 256, 8, 1, 32, 1408, 40, false, 1e-6f, 128, new QwenConfig.Rope(1e4, null));
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), config, form, SEED);
        JsonObject json = JsonObject.read(packed.resolve("config.json"), 1 << 20);
        HfQuantization quantization = HfQuantization.ofConfig(json);
        assertNotNull(quantization);
        try (SafetensorsShards shards = SafetensorsShards.open(new ModelDirectory(packed), ModelLimits.DEFAULT);
                Checkpoint checkpoint = CheckpointReader.open(packed, ModelLimits.DEFAULT)) {
            Map<String, PackedTensor> small =
                    PackedTensors.find(shards.places(), quantization, config, new Slabs(1)).tensors();
            assertEquals(form.head() ? 8 : 7, small.size());
            for (PackedTensor tensor : small.values()) {
                byte[] expected = TinyCheckpoints.bytes(checkpoint.tensor(tensor.name()).orElseThrow());
                assertTrue(tensor.rows() <= 64 || tensor.slabRows(0) == 64);
                IntStream.range(0, 24).parallel().forEach(i -> {
                    Random random = new Random(SEED + i);
                    int from = random.nextInt(expected.length);
                    int count = i % 3 == 0 ? expected.length - from : random.nextInt(Math.min(expected.length - from, 5000) + 1);
                    ByteBuffer target = i % 2 == 0 ? ByteBuffer.allocate(count) : ByteBuffer.allocateDirect(count);
                    tensor.read(from, target);
                    assertFalse(target.hasRemaining());
                    byte[] found = new byte[count];
                    target.flip().get(found);
                    assertArrayEquals(Arrays.copyOfRange(expected, from, from + count), found, tensor.name() + " from " + from);
                });
            }
        }
    }

    @ParameterizedTest
    @MethodSource("forms")
    void anIndexInTheOwnOrderIsNoOrder(Form form) {
        Path packed = PackedCheckpoints.write(directory.resolve("packed"), CONFIG, form, SEED);
        try (Checkpoint checkpoint = CheckpointReader.open(packed, ModelLimits.DEFAULT)) {
            TensorSource source = checkpoint.tensor("model.layers.0.mlp.down_proj.weight").orElseThrow();
            int[] order = source.columnOrder();
            if (!form.actOrder()) {
                assertNull(order);
                return;
            }
            int[] sorted = order.clone();
            Arrays.sort(sorted);
            assertArrayEquals(IntStream.range(0, 384).toArray(), sorted);
        }
    }
}
