package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.format.FormatError;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Hyper-parameters in GGUF metadata, read as llama.cpp reads them. */
final class GgufConfig {
    private static final String ARCHITECTURE = "general.architecture";
    private static final String DENSE = "qwen2";
    private static final String MIXTURE = "qwen2moe";
    private static final double DEFAULT_THETA = 10000;

    // GGUF has no keys for these, so they are our own; other readers do not see them.
    static final String CHUNK_SIZE = "qwen4j.dual_chunk.chunk_size";
    static final String LOCAL_SIZE = "qwen4j.dual_chunk.local_size";
    static final String CHUNK_ORIGINAL = "qwen4j.dual_chunk.original_context_length";
    static final String YARN_TRUNCATE = "qwen4j.yarn.truncate";
    /** Whether the weights of chosen experts are divided by their sum; llama.cpp has the key for other architectures. */
    static final String NORMALIZED = "expert_weights_norm";

    private final GgufMetadata metadata;
    private final String architecture;

    private GgufConfig(GgufMetadata metadata) {
        this.metadata = metadata;
        architecture = metadata.string(ARCHITECTURE);
    }

    /**
     * Reads and checks them.
     *
     * @param vocabularyRows rows of the embedding
     * @param tensors names of the tensors, as in checkpoints
     */
    static QwenConfig read(GgufMetadata metadata, int vocabularyRows, Set<String> tensors, ModelLimits limits) {
        return new GgufConfig(metadata).read(vocabularyRows, tensors, limits);
    }

    private QwenConfig read(int vocabularyRows, Set<String> tensors, ModelLimits limits) {
        int layers = integer("block_count", limits.layers());
        int hidden = integer("embedding_length", ConfigChecks.MAX_WIDTH);
        int heads = integer("attention.head_count", ConfigChecks.MAX_HEADS);
        int kvHeads = has("attention.head_count_kv") ? integer("attention.head_count_kv", ConfigChecks.MAX_HEADS) : heads;
        int headSize = headSize(hidden, heads);
        if (has("vocab_size") && integer("vocab_size", Integer.MAX_VALUE) != vocabularyRows) {
            throw error(
                    Reason.CONFIG,
                    key("vocab_size") + " is " + metadata.unsigned(key("vocab_size")) + ", but the embedding has " + vocabularyRows
                            + " rows");
        }
        int ffn = integer("feed_forward_length", ConfigChecks.MAX_WIDTH);
        int context = integer("context_length", Integer.MAX_VALUE);
        var rope = new QwenConfig.Rope(metadata.number(key("rope.freq_base"), DEFAULT_THETA), yarn(context), dualChunk());
        var config = new QwenConfig(
                architecture.equals(MIXTURE) ? "qwen2_moe" : DENSE,
                layers,
                hidden,
                heads,
                kvHeads,
                headSize,
                ffn,
                vocabularyRows,
                !tensors.contains(QwenTensors.HEAD),
                (float) metadata.number(key("attention.layer_norm_rms_epsilon")),
                ConfigChecks.contextLength(context, rope),
                rope,
                architecture.equals(MIXTURE) ? experts(layers, ffn, tensors) : null,
                QwenConfig.Head.LANGUAGE);
        ConfigChecks.check(config, metadata.file());
        return config;
    }

    /** Refuses other architectures. */
    static void checkArchitecture(GgufMetadata metadata) {
        String architecture = metadata.string(ARCHITECTURE);
        if (!architecture.equals(DENSE) && !architecture.equals(MIXTURE)) {
            throw FormatError.of(
                    Reason.UNSUPPORTED,
                    metadata.file(),
                    ARCHITECTURE + " " + architecture + " is not supported by this version, " + DENSE + " and " + MIXTURE + " are");
        }
    }

    private int headSize(int hidden, int heads) {
        int headSize;
        if (has("attention.key_length")) {
            headSize = integer("attention.key_length", ConfigChecks.MAX_WIDTH);
        } else if (hidden % heads == 0) {
            headSize = hidden / heads;
        } else {
            throw error(Reason.CONFIG, key("embedding_length") + " " + hidden + " is no multiple of the number of heads " + heads);
        }
        for (String part : new String[] {"attention.value_length", "rope.dimension_count"}) {
            if (has(part) && integer(part, ConfigChecks.MAX_WIDTH) != headSize) {
                throw error(
                        Reason.UNSUPPORTED,
                        key(part) + " is " + metadata.unsigned(key(part)) + ", only the head size " + headSize + " is supported");
            }
        }
        return headSize;
    }

    /**
     * llama.cpp multiplies the factor on cosines and sines that follows from the scaling by attn_factor. A file without a type means linear
     * scaling there, which changes nothing if the factor is 1 or 0.
     */
    private QwenConfig.@Nullable Yarn yarn(int context) {
        double factor = has("rope.scaling.factor")
                ? metadata.number(key("rope.scaling.factor"))
                : metadata.number(key("rope.scale_linear"), 1);
        String type = metadata.string(key("rope.scaling.type"), "linear");
        if (type.equals("none") || type.equals("linear") && (factor == 1 || factor == 0)) {
            return null;
        }
        if (!type.equals("yarn")) {
            throw error(Reason.UNSUPPORTED, "rope scaling of type " + type + " is not supported by this version, yarn is");
        }
        double scale = ConfigChecks.yarnScale(factor, 1);
        double logMultiplier = metadata.number(key("rope.scaling.yarn_log_multiplier"), 0);
        if (logMultiplier != 0) {
            scale /= ConfigChecks.yarnScale(factor, logMultiplier);
        }
        String original = "rope.scaling.original_context_length";
        return new QwenConfig.Yarn(
                factor,
                has(original) ? integer(original, Integer.MAX_VALUE) : context,
                scale * metadata.number(key("rope.scaling.attn_factor"), 1),
                metadata.number(key("rope.scaling.yarn_beta_fast"), 32),
                metadata.number(key("rope.scaling.yarn_beta_slow"), 1),
                !metadata.has(YARN_TRUNCATE) || metadata.bool(YARN_TRUNCATE));
    }

    private QwenConfig.@Nullable DualChunk dualChunk() {
        if (!metadata.has(CHUNK_SIZE)) {
            return null;
        }
        int size = metadata.integer(CHUNK_SIZE, 2, ConfigChecks.MAX_CHUNK);
        return new QwenConfig.DualChunk(
                size,
                metadata.integer(LOCAL_SIZE, 0, size - 1),
                metadata.has(CHUNK_ORIGINAL) ? metadata.integer(CHUNK_ORIGINAL, 0, Integer.MAX_VALUE) : 0);
    }

    /** Absent widths follow from that of a dense layer, as llama.cpp reads them. A layer is dense if the file has no experts for it. */
    private QwenConfig.Experts experts(int layers, int ffn, Set<String> tensors) {
        int count = integer("expert_count", ConfigChecks.MAX_EXPERTS);
        int used = integer("expert_used_count", ConfigChecks.MAX_EXPERTS);
        if (used > count) {
            throw error(
                    Reason.CONFIG,
                    key("expert_used_count") + " is " + used + ", expected 1 to " + key("expert_count") + ", which is " + count);
        }
        String width = "expert_feed_forward_length";
        String sharedWidth = "expert_shared_feed_forward_length";
        return new QwenConfig.Experts(
                count,
                used,
                has(width) ? integer(width, ConfigChecks.MAX_WIDTH) : Math.max(1, ffn / used),
                has(sharedWidth) ? integer(sharedWidth, ConfigChecks.MAX_WIDTH) : ffn,
                has(NORMALIZED) && metadata.bool(key(NORMALIZED)),
                1,
                IntStream.range(0, layers)
                        .filter(i -> tensors.contains(QwenTensors.layer(i, QwenTensors.GATE))
                                && !tensors.contains(QwenTensors.layer(i, QwenTensors.ROUTER)))
                        .boxed()
                        .collect(Collectors.toSet()));
    }

    private boolean has(String part) {
        return metadata.has(key(part));
    }

    private int integer(String part, int most) {
        return metadata.integer(key(part), 1, most);
    }

    private String key(String part) {
        return architecture + "." + part;
    }

    private ModelFileException error(Reason reason, String message) {
        return FormatError.of(reason, metadata.file(), message);
    }
}
