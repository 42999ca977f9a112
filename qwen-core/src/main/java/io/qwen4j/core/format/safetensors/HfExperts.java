package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.model.QwenConfig;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The keys of config.json about experts. Absent ones have the defaults of {@code Qwen2MoeConfig}. */
final class HfExperts {
    private HfExperts() {}

    /** The experts, or null if the file says that there are none. */
    static QwenConfig.@Nullable Experts read(JsonObject json, int layers) {
        int count = integer(json, "num_experts", 0, ConfigChecks.MAX_EXPERTS, 60);
        if (count == 0) {
            return null;
        }
        int used = integer(json, "num_experts_per_tok", 1, ConfigChecks.MAX_EXPERTS, 4);
        if (used > count) {
            throw json.error(Reason.CONFIG, "num_experts_per_tok is " + used + ", expected 1 to num_experts, which is " + count);
        }
        return new QwenConfig.Experts(
                count,
                used,
                integer(json, "moe_intermediate_size", 1, ConfigChecks.MAX_WIDTH, 1408),
                integer(json, "shared_expert_intermediate_size", 1, ConfigChecks.MAX_WIDTH, 5632),
                json.bool("norm_topk_prob", false),
                integer(json, "decoder_sparse_step", 1, Integer.MAX_VALUE, 1),
                denseLayers(json, layers));
    }

    private static int integer(JsonObject json, String key, int least, int most, int absent) {
        return json.has(key) ? json.integer(key, least, most) : absent;
    }

    private static Set<Integer> denseLayers(JsonObject json, int layers) {
        Set<Integer> dense = new HashSet<>();
        List<?> listed = json.has("mlp_only_layers") ? json.list("mlp_only_layers") : List.of();
        for (Object layer : listed) {
            if (!(layer instanceof Number number) || number.doubleValue() != number.intValue() || number.intValue() < 0
                    || number.intValue() >= layers) {
                throw json.error(Reason.CONFIG, "mlp_only_layers has " + layer + ", expected layers from 0 to " + (layers - 1));
            }
            dense.add(number.intValue());
        }
        return dense;
    }
}
