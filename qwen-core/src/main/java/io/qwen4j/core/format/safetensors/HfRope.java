package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.model.QwenConfig;
import org.jspecify.annotations.Nullable;

/**
 * Rotary position embedding in config.json: {@code rope_theta} and {@code rope_scaling}, or {@code rope_parameters} that holds both,
 * and {@code dual_chunk_attention_config}, whose keys for sparse attention are not read.
 *
 * <p>Of the readings of YaRN's {@code factor} this is the one of vLLM and of transformers since its pull request 40320: the factor given
 * counts, and only where there is none does the ratio of the lengths.
 */
final class HfRope {
    private static final double DEFAULT_THETA = 10000;

    private HfRope() {}

    static QwenConfig.Rope read(JsonObject json, int context) {
        JsonObject scaling = null;
        double theta = json.number("rope_theta", DEFAULT_THETA);
        if (json.has("rope_parameters")) {
            scaling = json.object("rope_parameters");
            if (scaling.has("full_attention")) {
                scaling = scaling.object("full_attention");
            }
            theta = scaling.number("rope_theta", theta);
        } else if (json.has("rope_scaling")) {
            scaling = json.object("rope_scaling");
        }
        return new QwenConfig.Rope(theta, scaling == null ? null : yarn(scaling, context), dualChunk(json));
    }

    private static QwenConfig.@Nullable Yarn yarn(JsonObject scaling, int context) {
        String type = scaling.string("rope_type", scaling.string("type", "default"));
        if (type.equals("default")) {
            return null;
        }
        if (!type.equals("yarn")) {
            throw scaling.error(Reason.UNSUPPORTED, "rope scaling of type " + type + " is not supported by this version, yarn is");
        }
        int original = scaling.has("original_max_position_embeddings")
                ? scaling.integer("original_max_position_embeddings", 1, Integer.MAX_VALUE)
                : context;
        double factor = scaling.number("factor", (double) context / original);
        return new QwenConfig.Yarn(
                factor,
                original,
                attentionFactor(scaling, factor),
                scaling.number("beta_fast", 32),
                scaling.number("beta_slow", 1),
                scaling.bool("truncate", true));
    }

    private static QwenConfig.@Nullable DualChunk dualChunk(JsonObject json) {
        if (!json.has("dual_chunk_attention_config")) {
            return null;
        }
        JsonObject chunks = json.object("dual_chunk_attention_config");
        int size = chunks.integer("chunk_size", 2, ConfigChecks.MAX_CHUNK);
        return new QwenConfig.DualChunk(
                size,
                chunks.integer("local_size", 0, size - 1),
                chunks.has("original_max_position_embeddings")
                        ? chunks.integer("original_max_position_embeddings", 0, Integer.MAX_VALUE)
                        : 0);
    }

    /** transformers takes mscale and mscale_all_dim only where both are there and not 0. */
    private static double attentionFactor(JsonObject scaling, double factor) {
        if (scaling.has("attention_factor")) {
            return scaling.number("attention_factor");
        }
        double scale = scaling.number("mscale", 0);
        double scaleAll = scaling.number("mscale_all_dim", 0);
        if (scale != 0 && scaleAll != 0) {
            return ConfigChecks.yarnScale(factor, scale) / ConfigChecks.yarnScale(factor, scaleAll);
        }
        return ConfigChecks.yarnScale(factor, 1);
    }
}
