package io.qwen4j.core.format;

import static io.qwen4j.core.format.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** config.json and generation_config.json: values that are refused, and the spellings that are read. */
class ConfigRefusalTest {
    @TempDir
    Path temp;

    private Path model;
    private Path config;

    @BeforeEach
    void writeGoodModel() {
        model = TinyCheckpoints.directory(temp.resolve("model"), TinyCheckpoints.config(true), WeightType.F32, 3);
        config = model.resolve("config.json");
    }

    /** Sets a field, whether it is there or not. */
    private void set(String field, String value) throws IOException {
        String text = Files.readString(config).replaceAll("\"" + field + "\": [^,}]*,|,\\s*\"" + field + "\": [^,}]*(?=})", "");
        Files.writeString(config, text.replaceFirst("\\{", "{" + (value.isEmpty() ? "" : "\"" + field + "\": " + value + ", ")));
    }

    static List<Arguments> bad() {
        return List.of(
                arguments("num_hidden_layers", "0", Reason.CONFIG),
                arguments("num_hidden_layers", "513", Reason.CONFIG),
                arguments("num_hidden_layers", "2147483647", Reason.CONFIG),
                arguments("num_hidden_layers", "-1", Reason.CONFIG),
                arguments("num_hidden_layers", "18446744073709551616", Reason.CONFIG),
                arguments("num_hidden_layers", "3", Reason.MISSING),
                arguments("num_hidden_layers", "", Reason.CONFIG),
                arguments("num_attention_heads", "0", Reason.CONFIG),
                arguments("num_attention_heads", "-4", Reason.CONFIG),
                arguments("num_key_value_heads", "0", Reason.CONFIG),
                arguments("num_key_value_heads", "8", Reason.CONFIG),
                arguments("num_key_value_heads", "3", Reason.CONFIG),
                arguments("hidden_size", "0", Reason.CONFIG),
                arguments("hidden_size", "2147483648", Reason.CONFIG),
                arguments("head_dim", "0", Reason.CONFIG),
                arguments("head_dim", "8", Reason.UNSUPPORTED),
                arguments("head_dim", "1048576", Reason.CONFIG),
                arguments("rope_theta", "0", Reason.CONFIG),
                arguments("rope_theta", "-1", Reason.CONFIG),
                arguments("rope_theta", "NaN", Reason.CONFIG),
                arguments("rope_theta", "Infinity", Reason.CONFIG),
                arguments("rope_theta", "1e999", Reason.CONFIG),
                arguments("rms_norm_eps", "0", Reason.CONFIG),
                arguments("rms_norm_eps", "NaN", Reason.CONFIG),
                arguments("rms_norm_eps", "-1e-6", Reason.CONFIG),
                arguments("rms_norm_eps", "1e-99", Reason.CONFIG),
                arguments("max_position_embeddings", "0", Reason.CONFIG),
                arguments("max_position_embeddings", "2147483648", Reason.CONFIG),
                arguments("vocab_size", "0", Reason.CONFIG),
                arguments("vocab_size", "95", Reason.CONFIG),
                arguments("vocab_size", "97", Reason.CONFIG),
                arguments("vocab_size", "1", Reason.CONFIG),
                arguments("vocab_size", "99999999", Reason.CONFIG),
                arguments("eos_token_id", "96", Reason.CONFIG),
                arguments("eos_token_id", "-1", Reason.CONFIG),
                arguments("eos_token_id", "\"<|im_end|>\"", Reason.UNSUPPORTED),
                arguments("model_type", "\"llama\"", Reason.UNSUPPORTED),
                arguments("model_type", "\"qwen2_moe\"", Reason.UNSUPPORTED),
                arguments("model_type", "\"qwen2_vl\"", Reason.UNSUPPORTED),
                arguments("model_type", "5", Reason.UNSUPPORTED),
                arguments("model_type", "", Reason.UNSUPPORTED),
                arguments("architectures", "[\"Qwen2ForRewardModel\"]", Reason.MISSING),
                arguments("architectures", "[\"Qwen2ForSequenceClassification\"]", Reason.UNSUPPORTED),
                arguments("architectures", "[\"Qwen2ForRewardModel\", \"Qwen2ForCausalLM\"]", Reason.CONFIG),
                arguments("hidden_act", "\"gelu\"", Reason.UNSUPPORTED),
                arguments("quantization_config", "{\"quant_method\": \"gptq\", \"bits\": 4}", Reason.UNSUPPORTED),
                arguments("rope_scaling", "{\"type\": \"linear\", \"factor\": 2.0}", Reason.UNSUPPORTED),
                arguments("rope_scaling", "{\"rope_type\": \"dynamic\", \"factor\": 2.0}", Reason.UNSUPPORTED),
                arguments("rope_scaling", "{\"rope_type\": \"longrope\"}", Reason.UNSUPPORTED),
                arguments("rope_parameters", "{\"rope_type\": \"llama3\", \"rope_theta\": 10000}", Reason.UNSUPPORTED),
                arguments("rope_scaling", "{\"type\": \"yarn\", \"factor\": 0}", Reason.CONFIG),
                arguments("rope_scaling", "{\"type\": \"yarn\", \"factor\": NaN}", Reason.CONFIG),
                arguments("rope_scaling", "{\"type\": \"yarn\", \"factor\": -2}", Reason.CONFIG),
                arguments(
                        "rope_scaling", "{\"type\": \"yarn\", \"factor\": 2, \"original_max_position_embeddings\": 0}", Reason.CONFIG),
                arguments("rope_scaling", "{\"type\": \"yarn\", \"factor\": 2, \"attention_factor\": 0}", Reason.CONFIG),
                arguments("rope_scaling", "{\"type\": \"yarn\", \"factor\": 2, \"beta_fast\": NaN}", Reason.CONFIG),
                arguments("rope_scaling", "\"yarn\"", Reason.UNSUPPORTED),
                arguments("hidden_size", "\"64\"", Reason.UNSUPPORTED),
                arguments("hidden_size", "64.0", Reason.UNSUPPORTED),
                arguments("hidden_size", "[64]", Reason.UNSUPPORTED),
                arguments("rope_theta", "\"10000\"", Reason.UNSUPPORTED),
                arguments("tie_word_embeddings", "\"true\"", Reason.UNSUPPORTED),
                arguments("tie_word_embeddings", "1", Reason.UNSUPPORTED),
                arguments("layer_types", "[\"full_attention\"]", Reason.CONFIG),
                arguments("layer_types", "[\"full_attention\", \"linear_attention\"]", Reason.UNSUPPORTED),
                arguments("dual_chunk_attention_config", "{\"chunk_size\": 0, \"local_size\": 0}", Reason.CONFIG),
                arguments("dual_chunk_attention_config", "{\"chunk_size\": 8, \"local_size\": 8}", Reason.CONFIG));
    }

    static List<Arguments> badPositions() {
        return List.of(
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 0", "factor of YaRN is 0.0"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": NaN", "factor of YaRN is NaN"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": -4", "factor of YaRN is -4.0"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 1e6", "factor of YaRN is 1000000.0"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": \"4\"", "factor must be a number, found 4"),
                arguments(
                        "rope_scaling",
                        "\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 0",
                        "original_max_position_embeddings is 0, expected 1"),
                arguments(
                        "rope_scaling",
                        "\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": -1",
                        "original_max_position_embeddings is -1, expected 1"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": NaN", "attention factor of YaRN is NaN"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": -1", "attention factor of YaRN is -1.0"),
                arguments(
                        "rope_scaling",
                        "\"type\": \"yarn\", \"factor\": 4, \"mscale\": -9, \"mscale_all_dim\": 1",
                        "attention factor of YaRN is -0."),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 0", "are 0.0 and 1.0"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 4, \"beta_slow\": NaN", "are 32.0 and NaN"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 4, \"beta_slow\": 0", "are 32.0 and 0.0"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 1, \"beta_slow\": 2", "are 1.0 and 2.0"),
                arguments("rope_scaling", "\"type\": \"yarn\", \"factor\": 4, \"truncate\": 1", "truncate must be a boolean, found 1"),
                // Of 16 dimensions with the base 10^4: all make less than a turn within one token, or more than 32 within two billion.
                arguments(
                        "rope_scaling",
                        "\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 1",
                        "an original length of 1 tokens"),
                arguments(
                        "rope_parameters",
                        "\"rope_type\": \"yarn\", \"factor\": 4, \"rope_theta\": 2, \"original_max_position_embeddings\": 2147483647",
                        "an original length of 2147483647 tokens"),
                arguments("rope_parameters", "\"rope_type\": \"yarn\", \"factor\": -2", "factor of YaRN is -2.0"),
                arguments("dual_chunk_attention_config", "\"chunk_size\": 1, \"local_size\": 0", "chunk_size is 1, expected 2 to 1073741824"),
                arguments("dual_chunk_attention_config", "\"chunk_size\": 1073741825, \"local_size\": 0", "chunk_size is 1073741825"),
                arguments("dual_chunk_attention_config", "\"chunk_size\": 8, \"local_size\": -1", "local_size is -1, expected 0 to 7"),
                arguments("dual_chunk_attention_config", "\"chunk_size\": 8, \"local_size\": 8", "local_size is 8, expected 0 to 7"),
                arguments("dual_chunk_attention_config", "\"local_size\": 8", "chunk_size is missing"),
                arguments("dual_chunk_attention_config", "\"chunk_size\": 8", "local_size is missing"),
                arguments("dual_chunk_attention_config", "\"chunk_size\": 8.5, \"local_size\": 0", "chunk_size must be an integer, found 8.5"),
                arguments(
                        "dual_chunk_attention_config",
                        "\"chunk_size\": 8, \"local_size\": 0, \"original_max_position_embeddings\": -1",
                        "original_max_position_embeddings is -1, expected 0"));
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("badPositions")
    void namesWhatIsWrongWithPositions(String field, String value, String expected) throws IOException {
        Files.writeString(config, Files.readString(config).replaceFirst("\\{", "{\"" + field + "\": {" + value + "}, "));
        try {
            open();
        } catch (ModelFileException e) {
            assertTrue(e.getMessage().contains(expected) && e.getMessage().contains("config.json"), e.getMessage());
            return;
        }
        throw new AssertionError("accepted");
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("bad")
    void refusesValues(String field, String value, Reason reason) throws IOException {
        set(field, value);
        assertRefused(model, reason, model.toString());
    }

    @Test
    void refusesHiddenSizeThatHeadsDoNotDivide() throws IOException {
        set("head_dim", "");
        set("num_attention_heads", "6");
        assertRefused(model, Reason.CONFIG, "hidden_size 64 is no multiple of num_attention_heads 6");
    }

    static List<Arguments> texts() {
        String keys = java.util.stream.IntStream.range(0, 200_000)
                .mapToObj(i -> "\"k" + i + "\": 1, ")
                .collect(java.util.stream.Collectors.joining());
        return List.of(
                arguments("", Reason.CORRUPT),
                arguments("{", Reason.CORRUPT),
                arguments("[]", Reason.CORRUPT),
                arguments("\ufeff{}", Reason.CORRUPT),
                arguments("{\"a\": 1, \"a\": 1}", Reason.DUPLICATE),
                arguments("{\"a\": {\"b\": 1, \"b\": 1}}", Reason.DUPLICATE),
                arguments("{" + keys + "\"k7\": 1}", Reason.DUPLICATE),
                arguments("{\"a\": " + "[".repeat(100_000), Reason.LIMIT),
                arguments("{\"a\": ".repeat(100_000), Reason.LIMIT),
                arguments("{\"a\": [" + "0,".repeat(600_000) + "0]}", Reason.LIMIT),
                arguments("{\"a\": " + "9".repeat(100_000) + "}", Reason.LIMIT),
                arguments("{\"" + "a".repeat(1_000_000) + "\": 1}", Reason.LIMIT));
    }

    @ParameterizedTest
    @MethodSource("texts")
    void refusesTexts(String text, Reason reason) throws IOException {
        Files.writeString(config, text);
        assertRefused(model, reason, "config.json", 192L << 20);
    }

    @Test
    void refusesHugeConfig() throws IOException {
        try (var sparse = new java.io.RandomAccessFile(config.toFile(), "rw")) {
            sparse.setLength(1L << 32);
        }
        assertRefused(model, Reason.LIMIT, "config.json");
    }

    @Test
    void refusesWindowThatIsUsed() throws IOException {
        set("use_sliding_window", "true");
        set("sliding_window", "64");
        set("max_window_layers", "1");
        assertRefused(model, Reason.UNSUPPORTED, "window of 64 tokens");
    }

    @Test
    void acceptsWindowThatChangesNothing() throws IOException {
        set("use_sliding_window", "true");
        set("sliding_window", "64");
        set("max_window_layers", "2");
        open();
        set("sliding_window", "128");
        set("max_window_layers", "0");
        open();
        set("use_sliding_window", "false");
        set("sliding_window", "null");
        set("layer_types", "[\"full_attention\", \"sliding_attention\"]");
        open();
    }

    private QwenConfig open() {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            return c.config();
        }
    }

    @Test
    void readsKeysOfTransformers5() throws IOException {
        set("rope_theta", "");
        set("rope_scaling", "null");
        set("torch_dtype", "");
        set("dtype", "\"bfloat16\"");
        set("rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 5000000.0}");
        assertEquals(new QwenConfig.Rope(5e6, null), open().rope());
    }

    @Test
    void readsYarnOfTransformers5() throws IOException {
        set("rope_theta", "");
        set(
                "rope_parameters",
                "{\"rope_type\": \"yarn\", \"rope_theta\": 1000000, \"factor\": 8, \"original_max_position_embeddings\": 64}");
        QwenConfig c = open();
        assertEquals(1e6, c.rope().theta());
        assertEquals(8, c.rope().yarn().factor());
        assertEquals(1.207944154, c.rope().yarn().attentionFactor(), 1e-9);
        assertEquals(512, c.contextLength());
    }

    @Test
    void computesYarnFactorOnlyWhereThereIsNone() throws IOException {
        set("rope_scaling", "{\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 128}");
        assertEquals(4, open().rope().yarn().factor());
        assertEquals(512, open().contextLength());
        set("rope_scaling", "");
        Files.writeString(config, Files.readString(config).replaceFirst("\\{.*?(?=\"architectures\")", "{"));
        set("rope_scaling", "{\"type\": \"yarn\", \"original_max_position_embeddings\": 32}");
        assertEquals(4, open().rope().yarn().factor());
    }

    @Test
    void computesAttentionFactorFromMscale() throws IOException {
        set(
                "rope_scaling",
                "{\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 64, \"mscale\": 2, \"mscale_all_dim\": 0.5}");
        double expected = (0.1 * 2 * Math.log(4) + 1) / (0.1 * 0.5 * Math.log(4) + 1);
        assertEquals(expected, open().rope().yarn().attentionFactor(), 1e-12);
    }

    @Test
    void takesDefaultsOfAbsentKeys() throws IOException {
        for (String field : List.of(
                "rope_theta", "rms_norm_eps", "max_position_embeddings", "use_sliding_window", "architectures", "hidden_act", "head_dim")) {
            set(field, "");
        }
        QwenConfig c = open();
        assertEquals(10000, c.rope().theta());
        assertEquals(1e-6f, c.normEpsilon());
        assertEquals(32768, c.contextLength());
        assertEquals(16, c.headSize());
        assertNull(c.rope().yarn());
    }

    @Test
    void readsDualChunks() throws IOException {
        set("max_position_embeddings", "1010000");
        set(
                "dual_chunk_attention_config",
                "{\"chunk_size\": 262144, \"local_size\": 8192, \"original_max_position_embeddings\": 262144,"
                        + " \"sparse_attention_enabled\": true, \"sparse_attention_threshold\": 32768}");
        assertEquals(new QwenConfig.DualChunk(262144, 8192, 262144), open().rope().dualChunk());
        assertEquals(1010000, open().contextLength());
        assertEquals(
                "dual chunks with distances up to 262144 tokens, 8192 local, scaled from 262144 tokens", open().rope().description());
    }

    @Test
    void readsDualChunksWithoutScalingAndBesideYarn() throws IOException {
        set("dual_chunk_attention_config", "{\"chunk_size\": 2, \"local_size\": 0}");
        assertEquals(new QwenConfig.DualChunk(2, 0, 0), open().rope().dualChunk());
        assertEquals(128, open().contextLength());
        Files.writeString(config, Files.readString(config).replaceFirst("\\{",
                "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2.5, \"original_max_position_embeddings\": 64}, "));
        assertEquals(new QwenConfig.DualChunk(2, 0, 0), open().rope().dualChunk());
        assertEquals(160, open().contextLength());
        assertEquals(
                "YaRN with factor 2.5 from 64 tokens, dual chunks with distances up to 2 tokens, 0 local", open().rope().description());
    }

    @Test
    void readsEveryKeyOfYarn() throws IOException {
        String keys = "\"factor\": 3, \"original_max_position_embeddings\": 64, \"attention_factor\": 1.25, \"beta_fast\": 16,"
                + " \"beta_slow\": 2, \"truncate\": false, \"mscale\": 7, \"mscale_all_dim\": 3";
        QwenConfig.Yarn expected = new QwenConfig.Yarn(3, 64, 1.25, 16, 2, false);
        String plain = Files.readString(config);
        for (String scaling : List.of(
                "\"rope_scaling\": {\"type\": \"yarn\", ", "\"rope_scaling\": {\"rope_type\": \"yarn\", ",
                // The new key counts where both are there.
                "\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"yarn\", ",
                "\"rope_parameters\": {\"rope_type\": \"yarn\", \"rope_theta\": 10000, ")) {
            Files.writeString(config, plain.replaceFirst("\\{", "{" + scaling + keys + "}, "));
            assertEquals(expected, open().rope().yarn(), scaling);
            assertEquals(192, open().contextLength(), scaling);
        }
        Files.writeString(config, plain.replaceFirst("\\{", "{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"yarn\", "
                + "\"rope_theta\": 500000, " + keys + "}, \"sliding_attention\": {\"rope_type\": \"default\"}}, "));
        assertEquals(new QwenConfig.Rope(500000, expected), open().rope());
    }

    @Test
    void takesMscaleOnlyWhereBothAreThere() throws IOException {
        String plain = Files.readString(config);
        for (String keys : List.of("\"mscale\": 2", "\"mscale_all_dim\": 2", "\"mscale\": 0, \"mscale_all_dim\": 2", "\"mscale\": null")) {
            Files.writeString(config, plain.replaceFirst("\\{", "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, " + keys + "}, "));
            assertEquals(1.138629436, open().rope().yarn().attentionFactor(), 1e-9, keys);
        }
        Files.writeString(config, plain.replaceFirst("\\{", "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 0.5}, "));
        assertEquals(1, open().rope().yarn().attentionFactor());
        assertEquals(128, open().contextLength());
    }

    @Test
    void keepsTheLongestContext() throws IOException {
        set("max_position_embeddings", "2147483647");
        assertEquals(Integer.MAX_VALUE, open().contextLength());
    }

    @Test
    void readsGenerationDefaults() throws IOException {
        Path generation = model.resolve("generation_config.json");
        Files.writeString(
                generation,
                "{\"do_sample\": true, \"temperature\": 0.7, \"top_p\": 0.8, \"top_k\": 20, \"repetition_penalty\": 1.05,"
                        + " \"eos_token_id\": [5, 1]}");
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            var sampling = c.generationDefaults().sampling();
            assertEquals(0.7f, sampling.temperature());
            assertEquals(0.8f, sampling.topP());
            assertEquals(20, sampling.topK());
            assertEquals(1.05f, sampling.repetitionPenalty());
            assertEquals(Set.of(1, 5), c.generationDefaults().endTokens());
        }
        Files.writeString(generation, "{\"do_sample\": false, \"repetition_penalty\": 1.05, \"temperature\": 0.6, \"eos_token_id\": 7}");
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            assertEquals(0, c.generationDefaults().sampling().temperature());
            assertEquals(1.05f, c.generationDefaults().sampling().repetitionPenalty());
            assertTrue(c.generationDefaults().endTokens().containsAll(Set.of(1, 7)));
        }
    }

    static List<Arguments> badGeneration() {
        return List.of(
                arguments("{\"do_sample\": true, \"top_p\": 0}", Reason.CONFIG),
                arguments("{\"do_sample\": true, \"top_p\": 1.5}", Reason.CONFIG),
                arguments("{\"do_sample\": true, \"temperature\": -1}", Reason.CONFIG),
                arguments("{\"do_sample\": true, \"temperature\": NaN}", Reason.CONFIG),
                arguments("{\"repetition_penalty\": 0}", Reason.CONFIG),
                arguments("{\"do_sample\": true, \"top_k\": -2}", Reason.CONFIG),
                arguments("{\"do_sample\": \"yes\"}", Reason.UNSUPPORTED),
                arguments("{\"eos_token_id\": [1, \"a\"]}", Reason.UNSUPPORTED),
                arguments("{\"eos_token_id\": [1, null]}", Reason.UNSUPPORTED),
                arguments("{\"eos_token_id\": [1, 96]}", Reason.CONFIG),
                arguments("[", Reason.CORRUPT));
    }

    @ParameterizedTest
    @MethodSource("badGeneration")
    void refusesGenerationDefaults(String text, Reason reason) throws IOException {
        Files.writeString(model.resolve("generation_config.json"), text);
        assertRefused(model, reason, "generation_config.json");
    }
}
