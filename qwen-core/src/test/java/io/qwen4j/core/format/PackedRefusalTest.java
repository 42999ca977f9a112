package io.qwen4j.core.format;

import static io.qwen4j.core.format.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.testing.PackedCheckpoints;
import io.qwen4j.core.testing.PackedCheckpoints.Form;
import io.qwen4j.core.testing.SafetensorsBuilder;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Checkpoints of GPTQ and AWQ: what is refused, and what is read of what tools write. */
class PackedRefusalTest {
    private static final QwenConfig CONFIG =
            new QwenConfig("qwen2", 1, 64, 4, 2, 16, 96, 96, true, 1e-6f, 128, new QwenConfig.Rope(10000, null));
    private static final Form GPTQ = new Form(false, 4, 32, 1, true, false, false);
    private static final Form AWQ = new Form(true, 4, 32, 0, false, false, false);
    private static final String DOWN = "model.layers.0.mlp.down_proj";

    @TempDir
    Path temp;

    private static String gptq(String fields) {
        return "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32" + fields + "}";
    }

    private static String awq(String fields) {
        return "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32" + fields + "}";
    }

    private Path write(Form form, String quantization) throws IOException {
        Path model = PackedCheckpoints.write(temp.resolve("model"), CONFIG, form, 5);
        String plain = TinyCheckpoints.json(CONFIG);
        Files.writeString(
                model.resolve("config.json"),
                quantization.isEmpty() ? plain : plain.replaceFirst("\\{", "{\"quantization_config\": " + quantization + ", "));
        return model;
    }

    static List<Arguments> badConfigurations() {
        return List.of(
                arguments("{\"bits\": 4, \"group_size\": 32}", Reason.UNSUPPORTED, "(unnamed)"),
                arguments("{\"quant_method\": \"fp8\"}", Reason.UNSUPPORTED, "fp8"),
                arguments("{\"quant_method\": \"compressed-tensors\"}", Reason.UNSUPPORTED, "compressed-tensors"),
                arguments("{\"quant_method\": 4}", Reason.UNSUPPORTED, "quant_method"),
                arguments("[]", Reason.UNSUPPORTED, "quantization_config"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 2, \"group_size\": 32}", Reason.UNSUPPORTED, "bits 2"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 3, \"group_size\": 32}", Reason.UNSUPPORTED, "bits 3"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 16, \"group_size\": 32}", Reason.UNSUPPORTED, "bits 16"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4.5, \"group_size\": 32}", Reason.UNSUPPORTED, "bits"),
                arguments("{\"quant_method\": \"gptq\", \"group_size\": 32}", Reason.CONFIG, "bits is missing"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4}", Reason.CONFIG, "group_size is missing"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 16}", Reason.UNSUPPORTED, "group_size 16"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 48}", Reason.UNSUPPORTED, "group_size 48"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 0}", Reason.UNSUPPORTED, "group_size 0"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": -2}", Reason.UNSUPPORTED, "group_size -2"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 4294967296}", Reason.UNSUPPORTED, "4294967296"),
                arguments(gptq(", \"desc_act\": \"yes\""), Reason.UNSUPPORTED, "desc_act"),
                arguments(gptq(", \"sym\": 1"), Reason.UNSUPPORTED, "sym"),
                arguments(gptq(", \"checkpoint_format\": \"marlin\""), Reason.UNSUPPORTED, "checkpoint_format marlin"),
                arguments(gptq(", \"is_marlin_format\": true"), Reason.UNSUPPORTED, "is_marlin_format"),
                arguments(gptq(", \"pack_dtype\": \"int64\""), Reason.UNSUPPORTED, "pack_dtype int64"),
                arguments(gptq(", \"dynamic\": {\"+:.*down.*\": {\"bits\": 8}}"), Reason.UNSUPPORTED, "dynamic"),
                arguments(gptq(", \"modules_to_not_convert\": [\"mlp.down_proj\"]"), Reason.CONFIG, "modules_to_not_convert"),
                arguments(gptq(", \"modules_to_not_convert\": \"lm_head\""), Reason.UNSUPPORTED, "modules_to_not_convert"),
                arguments(gptq(", \"modules_to_not_convert\": [7]"), Reason.UNSUPPORTED, "7"),
                arguments(awq(", \"version\": \"gemv\""), Reason.UNSUPPORTED, "version gemv"),
                arguments(awq(", \"version\": \"gemv_fast\""), Reason.UNSUPPORTED, "gemv_fast"),
                arguments(awq(", \"version\": \"marlin\""), Reason.UNSUPPORTED, "marlin"),
                arguments(awq(", \"zero_point\": false"), Reason.UNSUPPORTED, "zero_point false"),
                arguments("{\"quant_method\": \"awq\", \"bits\": 8, \"group_size\": 32}", Reason.UNSUPPORTED, "bits 8"),
                // The tensors are those of 4 bits and groups of 32.
                arguments("{\"quant_method\": \"gptq\", \"bits\": 8, \"group_size\": 32}", Reason.SHAPE, "[8, 64]"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 64}", Reason.SHAPE, "qzeros"),
                arguments("{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": -1}", Reason.SHAPE, "qzeros"),
                arguments(awq(""), Reason.SHAPE, "qweight"),
                arguments("", Reason.CONFIG, "quantization_config is missing"));
    }

    @ParameterizedTest
    @MethodSource("badConfigurations")
    void refusesConfigurations(String quantization, Reason reason, String item) throws IOException {
        assertRefused(write(GPTQ, quantization), reason, item);
    }

    private static Arguments damage(String what, Consumer<SafetensorsBuilder> change, Reason reason, String item) {
        return arguments(what, change, reason, item);
    }

    private static void replace(SafetensorsBuilder builder, String name, String from, String to) {
        String entry = builder.entries().get(name);
        assertTrue(entry.contains(from), entry);
        builder.entries().put(name, entry.replace(from, to));
    }

    static List<Arguments> badTensors() {
        return List.of(
                damage("transposed codes", b -> replace(b, DOWN + ".qweight", "[12, 64]", "[64, 12]"), Reason.SHAPE, "[12, 64]"),
                damage("codes of F32", b -> replace(b, DOWN + ".qweight", "I32", "F32"), Reason.UNSUPPORTED, "qweight has type F32"),
                damage("flat codes", b -> replace(b, DOWN + ".qweight", "[12, 64]", "[768]"), Reason.SHAPE, "[768]"),
                damage("transposed zeros", b -> replace(b, DOWN + ".qzeros", "[3, 8]", "[8, 3]"), Reason.SHAPE, "qzeros"),
                damage("zeros of U32", b -> replace(b, DOWN + ".qzeros", "I32", "U32"), Reason.UNSUPPORTED, "qzeros has type U32"),
                damage("transposed scales", b -> replace(b, DOWN + ".scales", "[3, 64]", "[64, 3]"), Reason.SHAPE, "scales"),
                damage("scales of BF16", b -> replace(b, DOWN + ".scales", "F16", "BF16"), Reason.UNSUPPORTED, "scales has type BF16"),
                damage("an index of another shape", b -> replace(b, DOWN + ".g_idx", "[96]", "[2, 48]"), Reason.SHAPE, "g_idx"),
                damage("an index of F32", b -> replace(b, DOWN + ".g_idx", "I32", "F32"), Reason.UNSUPPORTED, "g_idx has type F32"),
                damage("a bias of integers", b -> replace(b, DOWN + ".bias", "F16", "I16"), Reason.UNSUPPORTED, "bias has type I16"),
                damage("a bias of another shape", b -> replace(b, DOWN + ".bias", "[64]", "[32, 2]"), Reason.SHAPE, "bias"),
                damage("no zeros", b -> rename(b, DOWN + ".qzeros"), Reason.MISSING, DOWN + ".qzeros is missing"),
                damage("no scales", b -> rename(b, DOWN + ".scales"), Reason.MISSING, DOWN + ".scales is missing"),
                damage("no index", b -> rename(b, DOWN + ".g_idx"), Reason.MISSING, DOWN + ".g_idx is missing"),
                damage("no codes", b -> rename(b, DOWN + ".qweight"), Reason.MISSING, DOWN + ".qweight is missing"),
                damage("a plain matrix, too", b -> b.add(DOWN + ".weight", "F16", new long[] {64, 96}, new byte[2 * 64 * 96]),
                        Reason.DUPLICATE, DOWN + ".weight"));
    }

    private static void rename(SafetensorsBuilder builder, String name) {
        builder.entries().put("other", builder.entries().remove(name));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("badTensors")
    void refusesTensors(String what, Consumer<SafetensorsBuilder> change, Reason reason, String item) throws IOException {
        Path model = write(GPTQ, gptq(", \"desc_act\": true"));
        SafetensorsBuilder builder = PackedCheckpoints.packed(CONFIG, GPTQ, 5);
        change.accept(builder);
        builder.write(model.resolve("model.safetensors"));
        assertRefused(model, reason, item);
    }

    /** Where a tensor's data is in the bytes of the file. */
    private static int place(SafetensorsBuilder builder, String name) {
        String entry = builder.entries().get(name);
        int offsets = entry.indexOf("\"data_offsets\":[") + 16;
        return Integer.parseInt(entry.substring(offsets, entry.indexOf(',', offsets)));
    }

    private ModelFileException readDamaged(String name, int at, int value, int size) throws IOException {
        Path model = write(GPTQ, gptq(", \"desc_act\": true"));
        SafetensorsBuilder builder = PackedCheckpoints.packed(CONFIG, GPTQ, 5);
        byte[] data = builder.data();
        ByteBuffer bytes = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        int place = place(builder, name) + at * size;
        if (size == 4) {
            bytes.putInt(place, value);
        } else {
            bytes.putShort(place, (short) value);
        }
        SafetensorsBuilder.write(model.resolve("model.safetensors"), builder.header().getBytes(StandardCharsets.UTF_8), data);
        try (Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            return assertThrows(
                    ModelFileException.class, () -> TinyCheckpoints.bytes(checkpoint.tensor(DOWN + ".weight").orElseThrow()));
        }
    }

    @Test
    void refusesGroupsThatAreNone() throws IOException {
        for (int group : new int[] {3, -1, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            ModelFileException e = readDamaged(DOWN + ".g_idx", 40, group, 4);
            assertEquals(Reason.CORRUPT, e.reason());
            assertTrue(e.getMessage().contains(DOWN + ".g_idx has group " + group + " for column 40, there are 3 groups"), e.getMessage());
        }
    }

    @Test
    void refusesGroupsOfTooManyColumns() throws IOException {
        SafetensorsBuilder builder = PackedCheckpoints.packed(CONFIG, GPTQ, 5);
        ByteBuffer index = ByteBuffer.wrap(builder.data()).order(ByteOrder.LITTLE_ENDIAN);
        int place = place(builder, DOWN + ".g_idx");
        for (int group = 0; group < 3; group++) {
            int column = 0;
            while (index.getInt(place + 4 * column) == group) {
                column++;
            }
            ModelFileException e = readDamaged(DOWN + ".g_idx", column, group, 4);
            assertEquals(Reason.CORRUPT, e.reason());
            assertTrue(e.getMessage().contains("more than 32 columns for group " + group), e.getMessage());
        }
    }

    @Test
    void refusesABiasThatIsNotZero() throws IOException {
        ModelFileException e = readDamaged(DOWN + ".bias", 7, 0x1234, 2);
        assertEquals(Reason.UNSUPPORTED, e.reason());
        assertTrue(e.getMessage().contains(DOWN + ".bias has a value other than 0 at 7"), e.getMessage());
        Path model = write(GPTQ, gptq(", \"desc_act\": true"));
        SafetensorsBuilder builder = PackedCheckpoints.packed(CONFIG, GPTQ, 5);
        byte[] data = builder.data();
        // Zeros with a sign are zeros.
        int at = place(builder, DOWN + ".bias");
        for (int i = 0; i < 64; i++) {
            data[at + 2 * i + 1] = (byte) 0x80;
        }
        SafetensorsBuilder.write(model.resolve("model.safetensors"), builder.header().getBytes(StandardCharsets.UTF_8), data);
        try (Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            TinyCheckpoints.bytes(checkpoint.tensor(DOWN + ".weight").orElseThrow());
        }
    }

    @Test
    void refusesRowsThatAreNoWholeBlocks() throws IOException {
        var narrow = new QwenConfig("qwen2", 1, 80, 5, 1, 16, 96, 96, true, 1e-6f, 128, new QwenConfig.Rope(10000, null));
        var form = new Form(false, 4, -1, 1, false, false, false);
        Path model = PackedCheckpoints.write(temp.resolve("model"), narrow, form, 5);
        assertRefused(model, Reason.UNSUPPORTED, "80 columns, expected a multiple of 32");
    }

    /** Configurations beside config.json, in the keys of the tools that wrote them, and what config.json may say beside. */
    @Test
    void readsWhatToolsWrite() throws IOException {
        Path model = write(AWQ, "");
        Files.writeString(
                model.resolve("quant_config.json"), "{\"zero_point\": true, \"q_group_size\": 32, \"w_bit\": 4, \"version\": \"GEMM\"}");
        assertDescribed("AWQ, 4 bits, groups of 32", model);
        Files.delete(model.resolve("quant_config.json"));
        Files.writeString(
                model.resolve("config.json"),
                TinyCheckpoints.json(CONFIG)
                        .replaceFirst("\\{", "{\"quantization_config\": "
                                + awq(", \"modules_to_not_convert\": [\"visual\", \"gate\"], \"version\": \"GEMM\"") + ", "));
        assertDescribed("AWQ, 4 bits, groups of 32", model);

        model = write(GPTQ, "");
        Path other = model.resolve("quantize_config.json");
        Files.writeString(other, "{\"bits\": 4, \"group_size\": 32, \"desc_act\": true, \"sym\": false, \"model_name_or_path\": null}");
        assertDescribed("GPTQ, 4 bits, groups of 32, act order", model);
        Files.writeString(other, "{\"bits\": 3, \"group_size\": 32}");
        assertRefused(model, Reason.UNSUPPORTED, "quantize_config.json: gptq with bits 3");
        // config.json has precedence.
        for (String fields : List.of(
                "", ", \"checkpoint_format\": \"gptq_v2\", \"dynamic\": null", ", \"dynamic\": {}, \"lm_head\": false")) {
            Files.writeString(
                    model.resolve("config.json"),
                    TinyCheckpoints.json(CONFIG).replaceFirst("\\{", "{\"quantization_config\": " + gptq(fields) + ", "));
            assertDescribed("GPTQ, 4 bits, groups of 32", model);
        }
    }

    private static void assertDescribed(String expected, Path model) {
        try (Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            assertEquals(expected, checkpoint.describe().quantization());
        }
    }

    /** Parts of a matrix in different files. */
    @Test
    void shardsMayDivideAMatrix() throws IOException {
        Path whole = PackedCheckpoints.write(temp.resolve("whole"), CONFIG, GPTQ, 5);
        Path model = PackedCheckpoints.write(temp.resolve("model"), CONFIG, GPTQ, 5);
        SafetensorsBuilder all = PackedCheckpoints.packed(CONFIG, GPTQ, 5);
        SafetensorsBuilder[] shards = {new SafetensorsBuilder(), new SafetensorsBuilder()};
        StringBuilder index = new StringBuilder();
        int i = 0;
        for (var entry : all.entries().entrySet()) {
            String text = entry.getValue();
            int at = text.indexOf("\"data_offsets\":[") + 16;
            String[] offsets = text.substring(at, text.indexOf(']', at)).split(",");
            byte[] data = Arrays.copyOfRange(all.data(), Integer.parseInt(offsets[0]), Integer.parseInt(offsets[1]));
            String shape = text.substring(text.indexOf('[') + 1, text.indexOf(']'));
            String dtype = text.substring(10, text.indexOf('"', 10));
            shards[i % 2].add(entry.getKey(), dtype, Arrays.stream(shape.split(", ")).mapToLong(Long::parseLong).toArray(), data);
            index.append(i == 0 ? "" : ", ").append("\"" + entry.getKey() + "\": \"shard" + i % 2 + ".safetensors\"");
            i++;
        }
        shards[0].write(model.resolve("shard0.safetensors"));
        shards[1].write(model.resolve("shard1.safetensors"));
        Files.delete(model.resolve("model.safetensors"));
        Files.writeString(model.resolve("model.safetensors.index.json"), "{\"weight_map\": {" + index + "}}");
        try (Checkpoint expected = CheckpointReader.open(whole, ModelLimits.DEFAULT);
                Checkpoint found = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            assertEquals(expected.tensorNames(), found.tensorNames());
            for (String name : expected.tensorNames()) {
                assertArrayEquals(
                        TinyCheckpoints.bytes(expected.tensor(name).orElseThrow()),
                        TinyCheckpoints.bytes(found.tensor(name).orElseThrow()), name);
            }
        }
    }
}
