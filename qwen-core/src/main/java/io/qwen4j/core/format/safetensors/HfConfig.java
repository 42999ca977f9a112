package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenConfig.Head;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * config.json, in the keys of transformers up to 4 and from 5 on. Absent keys have the defaults of {@code Qwen2Config} and
 * {@code Qwen2MoeConfig}.
 */
final class HfConfig {
    /** Name of the file. */
    static final String FILE = "config.json";
    /** Published ones have about 700 bytes. */
    static final long MAX_BYTES = 8 << 20;

    private static final String DENSE = "qwen2";
    private static final String MIXTURE = "qwen2_moe";
    private static final List<Architecture> ARCHITECTURES = List.of(
            new Architecture(DENSE, "Qwen2ForCausalLM", Head.LANGUAGE),
            new Architecture(DENSE, "Qwen2Model", Head.LANGUAGE),
            new Architecture(DENSE, "Qwen2ForRewardModel", Head.REWARD),
            new Architecture(DENSE, "Qwen2ForProcessRewardModel", Head.PROCESS_REWARD),
            new Architecture(MIXTURE, "Qwen2MoeForCausalLM", Head.LANGUAGE),
            new Architecture(MIXTURE, "Qwen2MoeModel", Head.LANGUAGE));

    private static final double DEFAULT_EPSILON = 1e-6;
    private static final int DEFAULT_CONTEXT = 32768;

    /** A class of transformers, the model_type that goes with it, and its head. */
    private record Architecture(String type, String name, Head head) {}

    private HfConfig() {}

    static QwenConfig read(JsonObject json, ModelLimits limits) {
        String type = type(json);
        Head head = head(json, type);
        refuseOthers(json);
        int layers = json.integer("num_hidden_layers", 1, limits.layers());
        int hidden = json.integer("hidden_size", 1, ConfigChecks.MAX_WIDTH);
        int heads = json.integer("num_attention_heads", 1, ConfigChecks.MAX_HEADS);
        int kvHeads = json.has("num_key_value_heads") ? json.integer("num_key_value_heads", 1, ConfigChecks.MAX_HEADS) : heads;
        int headSize;
        if (json.has("head_dim")) {
            headSize = json.integer("head_dim", 1, ConfigChecks.MAX_WIDTH);
        } else if (hidden % heads == 0) {
            headSize = hidden / heads;
        } else {
            throw json.error(Reason.CONFIG, "hidden_size " + hidden + " is no multiple of num_attention_heads " + heads);
        }
        int context = json.has("max_position_embeddings")
                ? json.integer("max_position_embeddings", 1, Integer.MAX_VALUE)
                : DEFAULT_CONTEXT;
        QwenConfig.Rope rope = HfRope.read(json, context);
        int longest = ConfigChecks.contextLength(context, rope);
        refuseWindow(json, type, layers, longest);
        var config = new QwenConfig(
                type,
                layers,
                hidden,
                heads,
                kvHeads,
                headSize,
                json.integer("intermediate_size", 1, ConfigChecks.MAX_WIDTH),
                json.integer("vocab_size", 1, limits.vocabulary()),
                json.bool("tie_word_embeddings", false) && head == Head.LANGUAGE,
                (float) json.number("rms_norm_eps", DEFAULT_EPSILON),
                longest,
                rope,
                type.equals(MIXTURE) ? HfExperts.read(json, layers) : null,
                head);
        ConfigChecks.check(config, json.file());
        return config;
    }

    private static String type(JsonObject json) {
        String type = json.string("model_type", "(absent)");
        if (ARCHITECTURES.stream().noneMatch(a -> a.type.equals(type))) {
            throw json.error(Reason.UNSUPPORTED, "model_type " + type + " is not supported by this version, qwen2 and qwen2_moe are");
        }
        return type;
    }

    /** The head that the architecture has; without one that of a language model. */
    private static Head head(JsonObject json, String type) {
        List<?> names = json.has("architectures") ? json.list("architectures") : List.of();
        if (names.isEmpty()) {
            return Head.LANGUAGE;
        }
        List<Architecture> known = ARCHITECTURES.stream().filter(a -> a.type.equals(type)).toList();
        Set<Head> heads = known.stream().filter(a -> names.contains(a.name)).map(a -> a.head).collect(Collectors.toSet());
        if (heads.isEmpty()) {
            throw json.error(
                    Reason.UNSUPPORTED,
                    "architectures " + names + " of model_type " + type + " is not supported by this version, expected one of "
                            + known.stream().map(a -> a.name).toList());
        }
        if (heads.size() > 1) {
            throw json.error(Reason.CONFIG, "architectures " + names + " have different heads, expected one");
        }
        Head head = heads.iterator().next();
        // May be absent: the published classes know it by themselves.
        if (head != Head.LANGUAGE && json.has("num_labels") && json.integer("num_labels") != head.rewards()) {
            throw json.error(
                    Reason.CONFIG,
                    "num_labels is " + json.integer("num_labels") + ", expected " + head.rewards() + " with architectures " + names);
        }
        return head;
    }

    private static void refuseOthers(JsonObject json) {
        if (!json.bool("qkv_bias", true)) {
            throw json.error(Reason.UNSUPPORTED, "qkv_bias false is not supported, true is");
        }
        String activation = json.string("hidden_act", "silu");
        if (!activation.equals("silu")) {
            throw json.error(Reason.UNSUPPORTED, "hidden_act " + activation + " is not supported, silu is");
        }
        if (json.has("quantization_config")) {
            String method = json.object("quantization_config").string("quant_method", "(unnamed)");
            throw json.error(
                    Reason.UNSUPPORTED,
                    "weights quantized with " + method + " are not supported by this version; BF16, F16, F32 and GGUF files are");
        }
        if (json.number("partial_rotary_factor", 1) != 1) {
            throw json.error(Reason.UNSUPPORTED, "partial_rotary_factor other than 1 is not supported");
        }
    }

    /** The keys of the sliding window are in every published file and mean nothing there, because use_sliding_window is false. */
    private static void refuseWindow(JsonObject json, String model, int layers, int context) {
        boolean inUse = json.bool("use_sliding_window", false);
        boolean windowed = false;
        if (json.has("layer_types")) {
            List<?> types = json.list("layer_types");
            if (types.size() != layers) {
                throw json.error(Reason.CONFIG, "layer_types has " + types.size() + " entries, num_hidden_layers is " + layers);
            }
            for (Object type : types) {
                if (!"full_attention".equals(type) && !"sliding_attention".equals(type)) {
                    throw json.error(Reason.UNSUPPORTED, "layer_types has \"" + type + "\", which is not supported");
                }
            }
            windowed = types.contains("sliding_attention");
        } else if (inUse) {
            // qwen2 gives the layers from max_window_layers on a window, qwen2_moe every second one of those below.
            int border = json.has("max_window_layers") ? json.integer("max_window_layers", 0, Integer.MAX_VALUE) : layers;
            windowed = !json.has("max_window_layers") || (model.equals(MIXTURE) ? border > 0 : border < layers);
        }
        if (inUse && windowed && json.has("sliding_window") && json.integer("sliding_window", 1, Integer.MAX_VALUE) < context) {
            throw json.error(
                    Reason.UNSUPPORTED,
                    "use_sliding_window with a window of " + json.integer("sliding_window") + " tokens is not supported by this version");
        }
    }
}
