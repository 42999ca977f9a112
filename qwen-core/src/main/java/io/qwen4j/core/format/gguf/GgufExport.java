package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelLimits;
import io.qwen4j.SamplingOptions;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.format.ModelDirectory;
import io.qwen4j.core.model.QwenConfig;
import java.util.LinkedHashMap;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The metadata of a GGUF file that llama.cpp reads, for any checkpoint. Names of tensors are in {@link GgufNames}. */
public final class GgufExport {
    private static final Logger LOG = LoggerFactory.getLogger(GgufExport.class);
    private static final String FILE_TYPE = "general.file_type";
    private static final String QUANTIZATION_VERSION = "general.quantization_version";
    /** Of the block formats; 2 since May 2023. */
    private static final int QUANTIZATION = 2;

    private GgufExport() {}

    /**
     * The metadata, in the order of the file.
     *
     * @param checkpoint an open checkpoint; of a Hugging Face directory the tokenizer's files are read, too
     * @param type the type of the matrices
     */
    public static Map<String, GgufValue> metadata(Checkpoint checkpoint, WeightType type, ModelLimits limits) {
        Map<String, GgufValue> out = new LinkedHashMap<>();
        if (checkpoint instanceof GgufCheckpoint gguf) {
            GgufMetadata from = gguf.metadata();
            // The new file is one file with the default alignment.
            from.keys().stream()
                    .filter(key -> !key.startsWith("split.") && !key.equals("general.alignment"))
                    .forEach(key -> out.put(key, from.value(key)));
        } else {
            general(String.valueOf(checkpoint.path().toAbsolutePath().normalize().getFileName()), checkpoint.config(), out);
            sampling(checkpoint.generationDefaults().sampling(), out);
            hyperParameters(checkpoint.config(), out);
            new HfVocabulary(new ModelDirectory(checkpoint.path()), checkpoint.config().vocabularyRows(), limits).addTo(out);
        }
        fileType(type, out);
        return out;
    }

    /**
     * The metadata of a model without files, except its vocabulary.
     *
     * @param name of the model, for people
     * @param type the type of the matrices
     */
    public static Map<String, GgufValue> metadata(String name, QwenConfig config, WeightType type) {
        Map<String, GgufValue> out = new LinkedHashMap<>();
        general(name, config, out);
        hyperParameters(config, out);
        fileType(type, out);
        return out;
    }

    private static void fileType(WeightType type, Map<String, GgufValue> out) {
        out.put(FILE_TYPE, GgufValue.of(fileType(type)));
        out.put(QUANTIZATION_VERSION, GgufValue.of(QUANTIZATION));
    }

    private static void general(String name, QwenConfig config, Map<String, GgufValue> out) {
        out.put("general.architecture", GgufValue.of(architecture(config)));
        out.put("general.type", GgufValue.of("model"));
        out.put("general.name", GgufValue.of(name));
    }

    private static void sampling(SamplingOptions sampling, Map<String, GgufValue> out) {
        SamplingOptions plain = SamplingOptions.builder().build();
        if (!sampling.equals(plain)) {
            out.put("general.sampling.temp", GgufValue.of(sampling.temperature()));
            out.put("general.sampling.top_k", GgufValue.of(sampling.topK()));
            out.put("general.sampling.top_p", GgufValue.of(sampling.topP()));
            out.put("general.sampling.min_p", GgufValue.of(sampling.minP()));
            out.put("general.sampling.penalty_repeat", GgufValue.of(sampling.repetitionPenalty()));
        }
    }

    private static String architecture(QwenConfig config) {
        return config.experts() == null ? "qwen2" : "qwen2moe";
    }

    private static void hyperParameters(QwenConfig c, Map<String, GgufValue> out) {
        String prefix = architecture(c) + ".";
        out.put(prefix + "block_count", GgufValue.of(c.layers()));
        out.put(prefix + "context_length", GgufValue.of(c.contextLength()));
        out.put(prefix + "embedding_length", GgufValue.of(c.hiddenSize()));
        out.put(prefix + "feed_forward_length", GgufValue.of(c.ffnSize()));
        out.put(prefix + "attention.head_count", GgufValue.of(c.heads()));
        out.put(prefix + "attention.head_count_kv", GgufValue.of(c.kvHeads()));
        out.put(prefix + "attention.layer_norm_rms_epsilon", GgufValue.of(c.normEpsilon()));
        out.put(prefix + "rope.freq_base", GgufValue.of((float) c.rope().theta()));
        out.put(prefix + "vocab_size", GgufValue.of(c.vocabularyRows()));
        if (c.heads() * c.headSize() != c.hiddenSize()) {
            out.put(prefix + "attention.key_length", GgufValue.of(c.headSize()));
            out.put(prefix + "attention.value_length", GgufValue.of(c.headSize()));
            out.put(prefix + "rope.dimension_count", GgufValue.of(c.headSize()));
        }
        if (c.experts() != null) {
            experts(c, c.experts(), prefix, out);
        }
        QwenConfig.Yarn yarn = c.rope().yarn();
        if (yarn != null) {
            yarn(yarn, prefix, out);
        }
        QwenConfig.DualChunk chunks = c.rope().dualChunk();
        if (chunks != null) {
            out.put(GgufConfig.CHUNK_SIZE, GgufValue.of(chunks.chunkSize()));
            out.put(GgufConfig.LOCAL_SIZE, GgufValue.of(chunks.localSize()));
            out.put(GgufConfig.CHUNK_ORIGINAL, GgufValue.of(chunks.originalContextLength()));
            LOG.warn("GGUF has no keys for dual chunk attention; other readers of the file will compute plain attention");
        }
    }

    private static void experts(QwenConfig c, QwenConfig.Experts experts, String prefix, Map<String, GgufValue> out) {
        out.put(prefix + "expert_count", GgufValue.of(experts.count()));
        out.put(prefix + "expert_used_count", GgufValue.of(experts.used()));
        out.put(prefix + "expert_feed_forward_length", GgufValue.of(experts.ffnSize()));
        out.put(prefix + "expert_shared_feed_forward_length", GgufValue.of(experts.sharedFfnSize()));
        if (experts.normalized()) {
            out.put(prefix + GgufConfig.NORMALIZED, GgufValue.of(true));
            LOG.warn("llama.cpp does not divide the weights of chosen experts by their sum for qwen2moe; this model does");
        }
        if (c.hasDenseLayers()) {
            LOG.warn("some layers of this model have no experts; llama.cpp expects them in all layers of qwen2moe");
        }
    }

    /** llama.cpp computes the factor on cosines and sines from the scaling and multiplies it by attn_factor. */
    private static void yarn(QwenConfig.Yarn yarn, String prefix, Map<String, GgufValue> out) {
        out.put(prefix + "rope.scaling.type", GgufValue.of("yarn"));
        out.put(prefix + "rope.scaling.factor", GgufValue.of((float) yarn.factor()));
        out.put(prefix + "rope.scaling.original_context_length", GgufValue.of(yarn.originalContextLength()));
        float attention = (float) (yarn.attentionFactor() / ConfigChecks.yarnScale(yarn.factor(), 1));
        if (attention != 1) {
            out.put(prefix + "rope.scaling.attn_factor", GgufValue.of(attention));
        }
        if (yarn.betaFast() != 32) {
            out.put(prefix + "rope.scaling.yarn_beta_fast", GgufValue.of((float) yarn.betaFast()));
        }
        if (yarn.betaSlow() != 1) {
            out.put(prefix + "rope.scaling.yarn_beta_slow", GgufValue.of((float) yarn.betaSlow()));
        }
        if (yarn.betaFast() != 32 || yarn.betaSlow() != 1) {
            LOG.warn("llama.cpp takes beta_fast 32 and beta_slow 1 for qwen2, whatever the file says; this model has others");
        }
        if (!yarn.truncate()) {
            out.put(GgufConfig.YARN_TRUNCATE, GgufValue.of(false));
            LOG.warn("GGUF has no key for truncate=false of YaRN; other readers of the file will round its borders to whole dimensions");
        }
    }

    /** What {@code general.file_type} calls a file whose matrices have a type; the K types without their mixtures are the small ones. */
    private static int fileType(WeightType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case Q4_0 -> 2;
            case Q4_1 -> 3;
            case Q8_0 -> 7;
            case Q5_0 -> 8;
            case Q5_1 -> 9;
            case Q2_K -> 10;
            case Q3_K -> 11;
            case Q4_K -> 14;
            case Q5_K -> 16;
            case Q6_K -> 18;
            case IQ4_NL -> 25;
            case IQ4_XS -> 30;
            case BF16 -> 32;
            case INT4_G32, INT4_G128, INT8_G32, INT8_G128 -> throw new IllegalArgumentException("GGUF has no type " + type);
        };
    }
}
