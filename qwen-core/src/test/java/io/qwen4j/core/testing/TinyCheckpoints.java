package io.qwen4j.core.testing;

import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.gguf.GgufNames;
import io.qwen4j.core.format.gguf.GgufValue;
import io.qwen4j.core.format.gguf.GgufWriter;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes small checkpoints with random weights. */
public final class TinyCheckpoints {
    private TinyCheckpoints() {}

    /** A decoder of two layers with 4 heads of 16, 2 kv heads and 96 vocabulary rows. */
    public static QwenConfig config(boolean tiedHead) {
        return new QwenConfig("qwen2", 2, 64, 4, 2, 16, 96, 96, tiedHead, 1e-6f, 128, new QwenConfig.Rope(10000, null));
    }

    /** A Hugging Face directory with one safetensors file, without a tokenizer. Vectors are F32. */
    public static Path directory(Path directory, QwenConfig config, WeightType type, long seed) {
        writeConfig(directory, config);
        weights(directory, config, type, seed);
        return directory;
    }

    /** {@code config.json} in a directory, which is made if there is none. */
    public static void writeConfig(Path directory, QwenConfig config) {
        String json = switch (config.head()) {
            case LANGUAGE -> json(config);
            case REWARD -> json(config).replace("Qwen2ForCausalLM", "Qwen2ForRewardModel");
            case PROCESS_REWARD -> json(config).replace("Qwen2ForCausalLM", "Qwen2ForProcessRewardModel");
        };
        try {
            Files.createDirectories(directory);
            Files.writeString(directory.resolve("config.json"), json);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** {@code model.safetensors} with random weights, in a directory that has everything else. */
    public static void weights(Path directory, QwenConfig config, WeightType type, long seed) {
        safetensors(config, type, seed).write(directory.resolve("model.safetensors"));
    }

    /** A safetensors file with random weights, to change and write. */
    public static SafetensorsBuilder safetensors(QwenConfig config, WeightType type, long seed) {
        var out = new SafetensorsBuilder();
        try (Checkpoint weights = MemoryCheckpoint.random(config, type, seed)) {
            for (QwenTensors.Expected e : QwenTensors.of(config)) {
                TensorSource source = weights.tensor(e.name()).orElseThrow();
                out.add(e.name(), source.type().name(), e.shape(), bytes(source));
            }
        }
        return out;
    }

    /** A GGUF file without a tokenizer. Vectors are F32. */
    public static Path gguf(Path file, QwenConfig config, WeightType type, long seed) {
        Map<String, GgufValue> metadata = new LinkedHashMap<>(metadata(config));
        try (Checkpoint weights = MemoryCheckpoint.random(config, type, seed)) {
            List<GgufWriter.Tensor> tensors = new ArrayList<>();
            for (QwenTensors.Expected e : QwenTensors.of(config)) {
                TensorSource source = weights.tensor(e.name()).orElseThrow();
                tensors.add(new GgufWriter.Tensor(
                        GgufNames.toGguf(e.name()), source.type(), Arrays.stream(e.shape()).boxed().toList()));
            }
            try (GgufWriter out = GgufWriter.create(file, metadata, tensors)) {
                for (QwenTensors.Expected e : QwenTensors.of(config)) {
                    out.write(ByteBuffer.wrap(bytes(weights.tensor(e.name()).orElseThrow())));
                }
                out.finish();
            }
        }
        return file;
    }

    /** The keys of the hyper-parameters. */
    public static Map<String, GgufValue> metadata(QwenConfig c) {
        Map<String, GgufValue> out = new LinkedHashMap<>();
        out.put("general.architecture", GgufValue.of("qwen2"));
        out.put("qwen2.block_count", GgufValue.of(c.layers()));
        out.put("qwen2.context_length", GgufValue.of(c.contextLength()));
        out.put("qwen2.embedding_length", GgufValue.of(c.hiddenSize()));
        out.put("qwen2.feed_forward_length", GgufValue.of(c.ffnSize()));
        out.put("qwen2.attention.head_count", GgufValue.of(c.heads()));
        out.put("qwen2.attention.head_count_kv", GgufValue.of(c.kvHeads()));
        out.put("qwen2.attention.key_length", GgufValue.of(c.headSize()));
        out.put("qwen2.attention.value_length", GgufValue.of(c.headSize()));
        out.put("qwen2.attention.layer_norm_rms_epsilon", GgufValue.of(c.normEpsilon()));
        out.put("qwen2.rope.freq_base", GgufValue.of((float) c.rope().theta()));
        return out;
    }

    /** config.json of a decoder. */
    public static String json(QwenConfig c) {
        return """
                {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "torch_dtype": "bfloat16",
                 "num_hidden_layers": %d, "hidden_size": %d, "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d,
                 "intermediate_size": %d, "vocab_size": %d, "tie_word_embeddings": %b, "rms_norm_eps": %s,
                 "max_position_embeddings": %d, "rope_theta": %s, "use_sliding_window": false, "eos_token_id": 1}
                """
                .formatted(
                        c.layers(),
                        c.hiddenSize(),
                        c.heads(),
                        c.kvHeads(),
                        c.headSize(),
                        c.ffnSize(),
                        c.vocabularyRows(),
                        c.tiedHead(),
                        Float.toString(c.normEpsilon()),
                        c.contextLength(),
                        Double.toString(c.rope().theta()));
    }

    /** All bytes of a tensor. */
    public static byte[] bytes(TensorSource source) {
        ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact(source.byteSize()));
        source.read(0, bytes);
        return bytes.array();
    }
}
