package io.qwen4j.core.format.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelLimits;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.format.GenerationDefaults;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.model.Quantizer;
import io.qwen4j.core.testing.GoldenFiles;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class GgufWriterTest {
    @TempDir
    Path temp;

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.MATCH_NONE, names = "INT.*")
    void writesWhatTheReaderReads(WeightType type) {
        var config = new QwenConfig("qwen2", 2, 256, 8, 2, 32, 512, 96, false, 1e-6f, 128, new QwenConfig.Rope(10000, null));
        var random = new Random(7);
        List<GgufWriter.Tensor> tensors = QwenTensors.of(config).stream()
                .map(e -> new GgufWriter.Tensor(
                        GgufNames.toGguf(e.name()),
                        e.matrix() ? type : WeightType.F32,
                        Arrays.stream(e.shape()).boxed().toList()))
                .toList();
        Map<String, byte[]> data = new LinkedHashMap<>();
        Path file = temp.resolve("m.gguf");
        try (GgufWriter out = GgufWriter.create(file, TinyCheckpoints.metadata(config), tensors)) {
            for (GgufWriter.Tensor tensor = out.next(); tensor != null; tensor = out.next()) {
                byte[] bytes = new byte[(int) tensor.bytes()];
                random.nextBytes(bytes);
                data.put(tensor.name(), bytes);
                int half = bytes.length / 2;
                out.write(ByteBuffer.wrap(bytes, 0, half));
                out.write(ByteBuffer.wrap(bytes, half, bytes.length - half));
            }
            out.finish();
        }
        try (Checkpoint read = CheckpointReader.open(file, ModelLimits.DEFAULT)) {
            assertEquals(config, read.config());
            for (QwenTensors.Expected e : QwenTensors.of(config)) {
                var found = read.tensor(e.name()).orElseThrow();
                assertEquals(e.matrix() ? type : WeightType.F32, found.type());
                assertArrayEquals(e.shape(), read.shape(e.name()));
                assertArrayEquals(data.get(GgufNames.toGguf(e.name())), TinyCheckpoints.bytes(found), e.name());
            }
        }
    }

    @Test
    void keepsAllKindsOfValues() throws IOException {
        Map<String, GgufValue> values = new LinkedHashMap<>();
        values.put("a.u32", GgufValue.of(-1));
        values.put("a.f32", GgufValue.of(1.5f));
        values.put("a.bool", GgufValue.of(true));
        values.put("a.string", GgufValue.of("é\n\u0000"));
        values.put("a.strings", GgufValue.of(List.of("", "Ġ Ġ", "x".repeat(100_000))));
        values.put("a.ints", GgufValue.of(new int[] {1, -1, 5}));
        Path path = temp.resolve("v.gguf");
        try (GgufWriter out = GgufWriter.create(path, values, List.of())) {
            assertNull(out.next());
            out.finish();
        }
        GgufMetadata read = GgufFile.readMetadata(path, ModelLimits.DEFAULT);
        assertEquals(List.copyOf(values.keySet()), List.copyOf(read.keys()));
        assertEquals(0xffffffffL, read.unsigned("a.u32"));
        assertEquals(1.5, read.number("a.f32"));
        assertTrue(read.bool("a.bool"));
        assertEquals("é\n\u0000", read.string("a.string"));
        assertEquals(List.of("", "Ġ Ġ", "x".repeat(100_000)), read.strings("a.strings"));
        assertArrayEquals(new int[] {1, -1, 5}, read.ints("a.ints"));
        assertThrows(ModelFileException.class, () -> read.strings("a.ints"));
        assertThrows(ModelFileException.class, () -> read.string("a.none"));
    }

    @Test
    void leavesNothingBehindWhenItIsNotFinished() throws IOException {
        Path path = temp.resolve("half.gguf");
        Files.writeString(path, "old");
        var tensor = new GgufWriter.Tensor("token_embd.weight", WeightType.Q8_0, List.of(3L, 64L));
        try (GgufWriter out = GgufWriter.create(path, Map.of(), List.of(tensor))) {
            out.write(ByteBuffer.allocate(68));
            assertThrows(IllegalStateException.class, out::finish);
            assertThrows(IllegalArgumentException.class, () -> out.write(ByteBuffer.allocate(3 * 68)));
        }
        try (Stream<Path> left = Files.list(temp)) {
            assertEquals(List.of(path), left.toList());
        }
        assertEquals("old", Files.readString(path));
    }

    @Test
    void exportsTheTokenizerOfADirectory() {
        Path directory = GoldenFiles.unpack("tiny-qwen", temp);
        var config = new QwenConfig("qwen2", 4, 256, 4, 2, 64, 768, 4096, true, 1e-6f, 1024, new QwenConfig.Rope(1e6, null));
        TinyCheckpoints.weights(directory, config, WeightType.BF16, 1);
        try (Checkpoint ours = CheckpointReader.open(directory, ModelLimits.DEFAULT)) {
            assertEquals(config, ours.config());
            Map<String, GgufValue> values = GgufExport.metadata(ours, WeightType.Q4_K, ModelLimits.DEFAULT);
            Path path = temp.resolve("t.gguf");
            try (GgufWriter out = GgufWriter.create(path, values, List.of())) {
                out.finish();
            }
            GgufMetadata m = GgufFile.readMetadata(path, ModelLimits.DEFAULT);
            assertEquals("gpt2", m.string("tokenizer.ggml.model"));
            assertEquals("qwen2", m.string("tokenizer.ggml.pre"));
            List<String> tokens = m.strings("tokenizer.ggml.tokens");
            assertEquals(4096, tokens.size());
            assertEquals("<|endoftext|>", tokens.get(3968));
            assertEquals("[PAD4095]", tokens.get(4095));
            int[] types = m.ints("tokenizer.ggml.token_type");
            assertEquals(1, types[0]);
            assertEquals(3, types[3968]);
            assertEquals(4, types[tokens.indexOf("<tool_call>")]);
            assertEquals(3, types[tokens.indexOf("<|fim_prefix|>")]);
            assertEquals(5, types[4095]);
            assertEquals("Ġ a", m.strings("tokenizer.ggml.merges").get(0));
            assertEquals(3970, m.unsigned("tokenizer.ggml.eos_token_id"));
            assertEquals(3968, m.unsigned("tokenizer.ggml.padding_token_id"));
            assertFalse(m.bool("tokenizer.ggml.add_bos_token"));
            assertEquals(14, m.unsigned("general.file_type"));
            assertEquals(2, m.unsigned("general.quantization_version"));
            assertTrue(m.string("tokenizer.chat_template").contains("<|im_start|>"));
            assertEquals(1.05, m.number("general.sampling.penalty_repeat"), 1e-6);
            GenerationDefaults found = GgufGenerationDefaults.read(m, config.vocabularyRows());
            assertEquals(ours.generationDefaults().sampling(), found.sampling());
            assertEquals(Set.of(3968, 3970), ours.generationDefaults().endTokens());
            assertEquals(
                    Set.of("<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
                    found.endTokens().stream().map(tokens::get).collect(Collectors.toSet()));
        }
    }

    @Test
    void refusesMoreThanTheDiskHas() throws IOException {
        var tensor = new GgufWriter.Tensor("token_embd.weight", WeightType.F32, List.of(1L << 30, 1L << 28));
        var e = assertThrows(
                ModelFileException.class, () -> GgufWriter.create(temp.resolve("huge.gguf"), Map.of(), List.of(tensor)));
        assertTrue(e.getMessage().contains("the disk has"), e.getMessage());
        try (Stream<Path> left = Files.list(temp)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void refusesToWriteWhereItCannot() {
        Path nowhere = temp.resolve("none").resolve("m.gguf");
        var e = assertThrows(ModelFileException.class, () -> GgufWriter.create(nowhere, Map.of(), List.of()));
        assertEquals(ModelFileException.Reason.IO, e.reason());
    }

    @Test
    void exportsVocabularyInTwoFilesAndNamedTemplates() throws IOException {
        Path directory = TinyCheckpoints.directory(temp.resolve("two"), TinyCheckpoints.config(true), WeightType.F32, 1);
        Files.writeString(directory.resolve("vocab.json"), "{\"a\": 0, \"b\": 1, \"ab\": 2}");
        Files.writeString(directory.resolve("merges.txt"), "#version: 0.2\na b\r\n# #\n\n");
        Files.writeString(
                directory.resolve("tokenizer_config.json"),
                "{\"add_bos_token\": true, \"eos_token\": {\"content\": \"<end>\"}, \"added_tokens_decoder\": {"
                        + "\"4\": {\"content\": \"<end>\", \"special\": true}, \"5\": {\"content\": \"<think>\", \"special\": false}},"
                        + "\"chat_template\": [{\"name\": \"default\", \"template\": \"D\"},"
                        + " {\"name\": \"tool_use\", \"template\": \"T\"}]}");
        try (Checkpoint c = CheckpointReader.open(directory, ModelLimits.DEFAULT)) {
            var m = new GgufMetadata(directory, GgufExport.metadata(c, WeightType.F32, ModelLimits.DEFAULT));
            assertEquals(List.of("a", "b", "ab", "[PAD3]", "<end>", "<think>", "[PAD6]"), m.strings("tokenizer.ggml.tokens").subList(0, 7));
            assertArrayEquals(new int[] {1, 1, 1, 5, 3, 4, 5}, Arrays.copyOf(m.ints("tokenizer.ggml.token_type"), 7));
            assertEquals(List.of("a b", "# #"), m.strings("tokenizer.ggml.merges"));
            assertEquals(4, m.unsigned("tokenizer.ggml.eos_token_id"));
            assertTrue(m.bool("tokenizer.ggml.add_bos_token"));
            assertEquals("D", m.string("tokenizer.chat_template"));
            assertEquals("T", m.string("tokenizer.chat_template.tool_use"));
            Files.writeString(directory.resolve("chat_template.jinja"), "J");
            Map<String, GgufValue> again = GgufExport.metadata(c, WeightType.F32, ModelLimits.DEFAULT);
            assertEquals("J", again.get("tokenizer.chat_template").strings(1).get(0));
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{\"model\": {\"vocab\": {\"a\": 96}, \"merges\": []}}",
                "{\"model\": {\"vocab\": {\"a\": -1}, \"merges\": []}}",
                "{\"model\": {\"vocab\": {\"a\": 1, \"b\": 1}, \"merges\": []}}",
                "{\"model\": {\"vocab\": {\"a\": \"1\"}, \"merges\": []}}",
                "{\"model\": {\"vocab\": {}, \"merges\": [5]}}",
                "{\"model\": {\"vocab\": {}, \"merges\": [[\"a\"]]}}",
                "{\"model\": {\"vocab\": {}, \"merges\": []}, \"added_tokens\": [{\"id\": 1, \"content\": \"\"}]}",
                "{\"model\": {\"vocab\": {}, \"merges\": []}, \"added_tokens\": [5]}"
            })
    void refusesToExportBrokenTokenizers(String json) throws IOException {
        Path directory = TinyCheckpoints.directory(temp.resolve("bad"), TinyCheckpoints.config(true), WeightType.F32, 1);
        Files.writeString(directory.resolve("tokenizer.json"), json);
        try (Checkpoint c = CheckpointReader.open(directory, ModelLimits.DEFAULT)) {
            var e = assertThrows(
                    ModelFileException.class, () -> GgufExport.metadata(c, WeightType.F32, ModelLimits.DEFAULT));
            assertEquals(ModelFileException.Reason.TOKENIZER, e.reason(), e.getMessage());
        }
    }

    @Test
    void copiesTheMetadataOfAGgufFile() {
        Path path = TinyCheckpoints.gguf(temp.resolve("m.gguf"), TinyCheckpoints.config(true), WeightType.F16, 1);
        try (Checkpoint c = CheckpointReader.open(path, ModelLimits.DEFAULT)) {
            Map<String, GgufValue> values = GgufExport.metadata(c, WeightType.Q8_0, ModelLimits.DEFAULT);
            assertEquals("qwen2", values.get("general.architecture").strings(1).get(0));
            assertEquals(7, values.get("general.file_type").integers()[0]);
        }
    }

    @Test
    void keepsYarn() {
        Path directory = GoldenFiles.unpack("yarn-new-keys", temp);
        try (Checkpoint c = CheckpointReader.open(directory, ModelLimits.DEFAULT)) {
            Map<String, GgufValue> values = GgufExport.metadata(c, WeightType.F32, ModelLimits.DEFAULT);
            QwenConfig.Yarn expected = c.config().rope().yarn();
            QwenConfig.Yarn found = GgufConfig.read(new GgufMetadata(directory, values), 512, Set.of(QwenTensors.HEAD), ModelLimits.DEFAULT)
                    .rope()
                    .yarn();
            assertEquals(expected.attentionFactor(), found.attentionFactor(), 1e-6);
            assertEquals(
                    expected,
                    new QwenConfig.Yarn(
                            found.factor(),
                            found.originalContextLength(),
                            expected.attentionFactor(),
                            found.betaFast(),
                            found.betaSlow(),
                            found.truncate()));
        }
    }

    /** Hyper-parameters written and read again. */
    private QwenConfig reread(QwenConfig config) {
        Map<String, GgufValue> values = GgufExport.metadata("m", config, WeightType.F32);
        Set<String> tensors = QwenTensors.of(config).stream().map(QwenTensors.Expected::name).collect(Collectors.toSet());
        return GgufConfig.read(new GgufMetadata(temp, values), config.vocabularyRows(), tensors, ModelLimits.DEFAULT);
    }

    @Test
    void keepsDualChunksAndUnroundedYarn() {
        QwenConfig plain = TinyCheckpoints.config(true);
        double computed = ConfigChecks.yarnScale(4, 1);
        for (QwenConfig.Rope rope : List.of(
                new QwenConfig.Rope(1e4, null, new QwenConfig.DualChunk(48, 4, 0)),
                new QwenConfig.Rope(1e4, null, new QwenConfig.DualChunk(1 << 30, (1 << 30) - 1, Integer.MAX_VALUE)),
                new QwenConfig.Rope(1e4, new QwenConfig.Yarn(4, 64, computed, 32, 1, true), new QwenConfig.DualChunk(48, 4, 64)),
                new QwenConfig.Rope(1e4, new QwenConfig.Yarn(4, 64, computed, 16, 2, false)),
                new QwenConfig.Rope(1e4, new QwenConfig.Yarn(4, 64, computed / 2, 16, 2, true)))) {
            QwenConfig config = plain.with(rope, 512);
            assertEquals(config, reread(config));
        }
    }

    @Test
    void keepsDualChunksOfADirectory() {
        Path directory = GoldenFiles.unpack("dual-chunk-scaled", temp);
        Path once = temp.resolve("once.gguf");
        Path twice = temp.resolve("twice.gguf");
        Quantizer.quantizeFile(directory, WeightType.F32, once, ModelLimits.DEFAULT, ProgressListener.none());
        Quantizer.quantizeFile(once, WeightType.F16, twice, ModelLimits.DEFAULT, ProgressListener.none());
        for (Path file : List.of(once, twice)) {
            try (Checkpoint c = CheckpointReader.open(file, ModelLimits.DEFAULT)) {
                assertEquals(new QwenConfig.DualChunk(32, 8, 40), c.config().rope().dualChunk());
                assertEquals(4096, c.config().contextLength());
                assertEquals("dual chunks with distances up to 32 tokens, 8 local, scaled from 40 tokens", c.describe().positions());
            }
        }
    }
}
