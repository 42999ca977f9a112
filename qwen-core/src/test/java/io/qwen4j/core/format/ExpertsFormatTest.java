package io.qwen4j.core.format;

import static io.qwen4j.core.format.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.model.Quantizer;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.model.QwenTensors.Expected;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.testing.GgufBytes;
import io.qwen4j.core.testing.GoldenFiles;
import io.qwen4j.core.testing.SafetensorsBuilder;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Mixtures of experts in both formats: what is read, what is refused, and the way from one format to the other. */
class ExpertsFormatTest {
    private static final String GATE_OF_5 = "model.layers.1.mlp.experts.5.gate_proj.weight";

    @TempDir
    Path temp;

    private static QwenConfig config() {
        return TinyCheckpoints.config(true).with(new QwenConfig.Experts(5, 2, 32, 64, false, 1, Set.of()));
    }

    /** The matrices of each row of the table, one after the other. */
    private static List<byte[]> contents(Checkpoint checkpoint) {
        List<byte[]> out = new ArrayList<>();
        for (Expected e : QwenTensors.of(checkpoint.config())) {
            List<TensorSource> matrices = checkpoint.matrices(e);
            assertEquals(e.count(), matrices.size(), e.name());
            for (TensorSource matrix : matrices) {
                assertEquals(e.rows(), matrix.rows(), matrix.name());
                assertEquals(e.columns(), matrix.columns(), matrix.name());
                out.add(TinyCheckpoints.bytes(matrix));
            }
        }
        return out;
    }

    private static void assertSame(List<byte[]> expected, List<byte[]> found) {
        assertEquals(expected.size(), found.size());
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i), found.get(i), "matrix " + i);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"moe", "moe-mixed"})
    void aGgufFileHoldsTheSameExperts(String name) {
        Path model = GoldenFiles.unpack(name, temp);
        Path first = temp.resolve("first.gguf");
        Path second = temp.resolve("second.gguf");
        Quantizer.quantizeFile(model, WeightType.F32, first, ModelLimits.DEFAULT, ProgressListener.none());
        Quantizer.quantizeFile(first, WeightType.F32, second, ModelLimits.DEFAULT, ProgressListener.none());
        try (Checkpoint from = CheckpointReader.open(model, ModelLimits.DEFAULT);
                Checkpoint to = CheckpointReader.open(first, ModelLimits.DEFAULT);
                Checkpoint again = CheckpointReader.open(second, ModelLimits.DEFAULT)) {
            QwenConfig.Experts expected = from.config().experts();
            QwenConfig.Experts found = to.config().experts();
            assertEquals(List.of(expected.count(), expected.used(), expected.ffnSize(), expected.sharedFfnSize(), expected.normalized()),
                    List.of(found.count(), found.used(), found.ffnSize(), found.sharedFfnSize(), found.normalized()));
            for (int i = 0; i < from.config().layers(); i++) {
                assertEquals(from.config().sparse(i), to.config().sparse(i), "layer " + i);
            }
            assertEquals(to.config(), again.config());
            assertSame(contents(to), contents(again));
            Expected gates = QwenTensors.of(from.config()).stream()
                    .filter(e -> e.kind() == QwenTensors.Kind.STACK)
                    .findFirst()
                    .orElseThrow();
            assertArrayEquals(new long[] {8, 96, 128}, to.shape(gates.name()));
        }
    }

    /** Rewrites the directory's weights with fused experts. */
    private static void fuse(Path model, QwenConfig config, Consumer<SafetensorsBuilder> damage) throws IOException {
        var out = new SafetensorsBuilder();
        try (Checkpoint from = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            for (Expected e : QwenTensors.of(config)) {
                List<TensorSource> matrices = from.matrices(e);
                String dtype = matrices.get(0).type().name();
                if (e.kind() != QwenTensors.Kind.STACK) {
                    out.add(e.name(), dtype, e.shape(), TinyCheckpoints.bytes(matrices.get(0)));
                } else if (e.name().endsWith("down_proj.weight")) {
                    var bytes = new ByteArrayOutputStream();
                    matrices.forEach(m -> bytes.writeBytes(TinyCheckpoints.bytes(m)));
                    out.add(e.name().replace(".weight", ""), dtype, e.shape(), bytes.toByteArray());
                } else if (e.name().endsWith("gate_proj.weight")) {
                    var bytes = new ByteArrayOutputStream();
                    for (int i = 0; i < e.count(); i++) {
                        bytes.writeBytes(TinyCheckpoints.bytes(matrices.get(i)));
                        String up = e.part(i).name().replace("gate_proj", "up_proj");
                        bytes.writeBytes(TinyCheckpoints.bytes(from.tensor(up).orElseThrow()));
                    }
                    long[] shape = {e.count(), 2 * e.rows(), e.columns()};
                    out.add(e.name().replace("gate_proj.weight", "gate_up_proj"), dtype, shape, bytes.toByteArray());
                }
            }
        }
        damage.accept(out);
        out.write(model.resolve("model.safetensors"));
    }

    @Test
    void fusedExpertsAreTheSame() throws IOException {
        Path model = GoldenFiles.unpack("moe-mixed", temp);
        List<byte[]> expected;
        QwenConfig config;
        try (Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            config = checkpoint.config();
            expected = contents(checkpoint);
        }
        fuse(model, config, b -> {});
        try (Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            assertSame(expected, contents(checkpoint));
            long fused = checkpoint.describe().tensors().stream().filter(t -> t.name().contains("gate_up_proj")).count();
            assertEquals(IntStream.range(0, config.layers()).filter(config::sparse).count(), fused);
        }
    }

    @Test
    void fusedExpertsOfAnotherShapeAreRefused() throws IOException {
        Path model = GoldenFiles.unpack("moe", temp);
        QwenConfig config;
        try (Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            config = checkpoint.config();
        }
        String name = "model.layers.1.mlp.experts.gate_up_proj";
        fuse(model, config, b -> b.entries().compute(name, (n, text) -> text.replace("[8, 192, 128]", "[4, 384, 128]")));
        assertRefused(model, Reason.SHAPE, name + " has shape [4, 384, 128], the configuration requires [8, 192, 128]");
    }

    static List<Arguments> badKeys() {
        return List.of(
                arguments("num_experts", "-1", Reason.CONFIG, "num_experts is -1, expected 0 to 4096"),
                arguments("num_experts", "4097", Reason.CONFIG, "num_experts is 4097"),
                arguments("num_experts", "2.5", Reason.UNSUPPORTED, "num_experts"),
                arguments("num_experts", "9", Reason.SHAPE, "mlp.gate.weight has shape [8, 128], the configuration requires [9, 128]"),
                arguments("num_experts", "7", Reason.SHAPE, "mlp.gate.weight has shape [8, 128], the configuration requires [7, 128]"),
                arguments("num_experts", "0", Reason.MISSING, "model.layers.0.mlp.gate_proj.weight"),
                arguments("num_experts_per_tok", "0", Reason.CONFIG, "num_experts_per_tok is 0, expected 1"),
                arguments("num_experts_per_tok", "9", Reason.CONFIG, "num_experts_per_tok is 9, expected 1 to num_experts, which is 8"),
                arguments("moe_intermediate_size", "0", Reason.CONFIG, "moe_intermediate_size is 0"),
                arguments("moe_intermediate_size", "97", Reason.SHAPE, "experts.0.gate_proj.weight has shape [96, 128]"),
                arguments("shared_expert_intermediate_size", "0", Reason.CONFIG, "shared_expert_intermediate_size is 0"),
                arguments("shared_expert_intermediate_size", "161", Reason.SHAPE, "mlp.shared_expert.gate_proj.weight has shape [160, 128]"),
                arguments("norm_topk_prob", "1", Reason.UNSUPPORTED, "norm_topk_prob"),
                arguments("decoder_sparse_step", "0", Reason.CONFIG, "decoder_sparse_step is 0"),
                arguments("decoder_sparse_step", "2", Reason.MISSING, "model.layers.0.mlp.gate_proj.weight"),
                arguments("mlp_only_layers", "[3]", Reason.CONFIG, "mlp_only_layers has 3, expected layers from 0 to 2"),
                arguments("mlp_only_layers", "[-1]", Reason.CONFIG, "mlp_only_layers has -1"),
                arguments("mlp_only_layers", "[\"a\"]", Reason.CONFIG, "mlp_only_layers has a"),
                arguments("mlp_only_layers", "[1]", Reason.MISSING, "model.layers.1.mlp.gate_proj.weight"),
                arguments("architectures", "[\"Qwen2ForCausalLM\"]", Reason.UNSUPPORTED, "Qwen2MoeForCausalLM"),
                arguments("model_type", "\"qwen2\"", Reason.UNSUPPORTED, "Qwen2MoeForCausalLM"),
                arguments("qkv_bias", "false", Reason.UNSUPPORTED, "qkv_bias"));
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("badKeys")
    void namesWhatIsWrong(String key, String value, Reason reason, String expected) throws IOException {
        Path model = GoldenFiles.unpack("moe", temp);
        Path json = model.resolve("config.json");
        String text = Files.readString(json).replaceAll("(?s)\"" + key + "\": (\\[[^]]*]|[^,}\\n]*),?", "");
        text = text.replaceAll(",\\s*}", "}");
        Files.writeString(json, text.replaceFirst("\\{", "{\"" + key + "\": " + value + ", "));
        assertRefused(model, reason, expected);
    }

    @Test
    void absentKeysHaveTheDefaultsOfTransformers() throws IOException {
        Path model = GoldenFiles.unpack("moe", temp);
        Path json = model.resolve("config.json");
        Files.writeString(json, Files.readString(json).replaceAll("\"shared_expert_intermediate_size\": [0-9]*,", ""));
        assertRefused(model, Reason.SHAPE, "requires [5632, 128]");
    }

    @Test
    void missingExpertsAreNamed() {
        Path model = GoldenFiles.unpack("moe", temp);
        var out = new SafetensorsBuilder();
        try (Checkpoint from = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            for (String name : from.tensorNames()) {
                if (!name.equals(GATE_OF_5)) {
                    TensorSource tensor = from.tensor(name).orElseThrow();
                    out.add(name, tensor.type().name(), from.shape(name), TinyCheckpoints.bytes(tensor));
                }
            }
        }
        out.write(model.resolve("model.safetensors"));
        assertRefused(model, Reason.MISSING, GATE_OF_5);
    }

    @Test
    void gateOfTheSharedExpertMayHaveOneDimension() {
        Path model = TinyCheckpoints.directory(temp.resolve("m"), config(), WeightType.F32, 1);
        SafetensorsBuilder weights = TinyCheckpoints.safetensors(config(), WeightType.F32, 1);
        for (int i = 0; i < 2; i++) {
            weights.entries().compute(QwenTensors.layer(i, QwenTensors.SHARED_WEIGHT), (n, text) -> text.replace("[1, 64]", "[64]"));
        }
        weights.write(model.resolve("model.safetensors"));
        try (Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            assertEquals(config().experts(), checkpoint.config().experts());
        }
    }

    @Test
    void millionsOfExpertsTakeNoMemory() throws IOException {
        Path model = TinyCheckpoints.directory(temp.resolve("m"), config(), WeightType.F32, 1);
        Path json = model.resolve("config.json");
        Files.writeString(json, Files.readString(json)
                .replace("\"num_experts\": 5", "\"num_experts\": 4096")
                .replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 512"));
        assertRefused(model, Reason.SHAPE, "mlp.gate.weight has shape [5, 64], the configuration requires [4096, 64]");
    }

    static List<Arguments> badGguf() {
        return List.of(
                damage("no count", b -> b.remove("qwen2moe.expert_count"), Reason.CONFIG, "qwen2moe.expert_count"),
                damage("count 0", b -> set(b, "expert_count", 0), Reason.CONFIG, "qwen2moe.expert_count is 0"),
                damage("count 4097", b -> set(b, "expert_count", 4097), Reason.CONFIG, "qwen2moe.expert_count is 4097"),
                damage("count 6", b -> set(b, "expert_count", 6), Reason.SHAPE, "blk.0.ffn_gate_inp.weight has shape [5, 64]"),
                damage("used 0", b -> set(b, "expert_used_count", 0), Reason.CONFIG, "qwen2moe.expert_used_count is 0"),
                damage("used 6", b -> set(b, "expert_used_count", 6), Reason.CONFIG, "is 6, expected 1 to qwen2moe.expert_count, which is 5"),
                damage("width", b -> set(b, "expert_feed_forward_length", 33), Reason.SHAPE, "blk.0.ffn_gate_exps.weight has shape [5, 32, 64]"),
                damage("shared width", b -> set(b, "expert_shared_feed_forward_length", 96), Reason.SHAPE, "blk.0.ffn_gate_shexp.weight"),
                damage("stack missing", b -> b.tensor("blk.1.ffn_down_exps.weight").name = "x", Reason.MISSING, "blk.1.ffn_down_exps.weight"),
                damage("router missing", b -> b.tensor("blk.1.ffn_gate_inp.weight").name = "x", Reason.MISSING, "blk.1.ffn_gate_inp.weight"),
                damage("two dimensions", ExpertsFormatTest::flatten, Reason.SHAPE, "blk.1.ffn_up_exps.weight has shape [160, 64]"));
    }

    private static void flatten(GgufBytes b) {
        b.tensor("blk.1.ffn_up_exps.weight").shape = new long[] {64, 160};
    }

    private static void set(GgufBytes b, String key, int value) {
        b.remove("qwen2moe." + key);
        b.u32("qwen2moe." + key, value);
    }

    private static Arguments damage(String name, Consumer<GgufBytes> damage, Reason reason, String item) {
        return arguments(name, damage, reason, item);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("badGguf")
    void namesWhatIsWrongInGguf(String name, Consumer<GgufBytes> damage, Reason reason, String item) {
        GgufBytes bytes = GgufBytes.decoder(config(), WeightType.Q8_0);
        damage.accept(bytes);
        assertRefused(bytes.write(temp.resolve("m.gguf")), reason, item);
    }

    @Test
    void widthsThatGgufLeavesOutFollowFromTheDenseOne() {
        GgufBytes bytes = GgufBytes.decoder(
                TinyCheckpoints.config(true).with(new QwenConfig.Experts(5, 3, 32, 96, false, 1, Set.of())), WeightType.F16);
        bytes.remove("qwen2moe.expert_feed_forward_length");
        bytes.remove("qwen2moe.expert_shared_feed_forward_length");
        try (Checkpoint checkpoint = CheckpointReader.open(bytes.write(temp.resolve("m.gguf")), ModelLimits.DEFAULT)) {
            QwenConfig.Experts experts = checkpoint.config().experts();
            assertEquals(32, experts.ffnSize());
            assertEquals(96, experts.sharedFfnSize());
            assertEquals(5, checkpoint.matrices(stack(checkpoint.config())).size());
        }
    }

    private static Expected stack(QwenConfig config) {
        return QwenTensors.of(config).stream().filter(e -> e.kind() == QwenTensors.Kind.STACK).findFirst().orElseThrow();
    }

    @Test
    void everyTypeOfWeightIsWrittenForExperts() {
        Path model = GoldenFiles.unpack("moe", temp);
        for (WeightType type : Arrays.stream(WeightType.values()).filter(WeightType::isGguf).toList()) {
            Path file = temp.resolve(type + ".gguf");
            Quantizer.quantizeFile(model, type, file, ModelLimits.DEFAULT, ProgressListener.none());
            try (Checkpoint checkpoint = CheckpointReader.open(file, ModelLimits.DEFAULT)) {
                assertEquals(8, checkpoint.matrices(stack(checkpoint.config())).size(), type.name());
                assertEquals(WeightType.F32, checkpoint.tensor("model.layers.0.mlp.gate.weight").orElseThrow().type(), "router of " + type);
            }
        }
    }
}
