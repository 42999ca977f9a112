package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.SamplingOptions;
import io.qwen4j.core.format.GenerationDefaults;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.format.ModelDirectory;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** generation_config.json, and the end tokens of config.json. */
final class HfGenerationDefaults {
    private static final String FILE = "generation_config.json";
    private static final int MAX_END_TOKENS = 1000;

    private HfGenerationDefaults() {}

    static GenerationDefaults read(ModelDirectory directory, JsonObject config, int vocabularyRows) {
        Set<Integer> end = new LinkedHashSet<>();
        addEndTokens(config, vocabularyRows, end);
        SamplingOptions sampling = SamplingOptions.builder().build();
        if (directory.has(FILE)) {
            JsonObject json = JsonObject.read(directory.file(FILE), HfConfig.MAX_BYTES);
            addEndTokens(json, vocabularyRows, end);
            sampling = sampling(json);
        }
        return new GenerationDefaults(sampling, Collections.unmodifiableSet(end));
    }

    private static void addEndTokens(JsonObject json, int vocabularyRows, Set<Integer> end) {
        String key = "eos_token_id";
        if (!json.has(key)) {
            return;
        }
        List<?> ids = json.fields().get(key) instanceof List<?> list ? list : List.of(json.integer(key));
        if (ids.size() > MAX_END_TOKENS) {
            throw json.error(Reason.LIMIT, key + " has " + ids.size() + " ids, at most " + MAX_END_TOKENS + " are read");
        }
        for (Object id : ids) {
            if (!(id instanceof Long n)) {
                throw json.error(Reason.UNSUPPORTED, key + " must be an integer or a list of integers, found " + id);
            }
            if (n < 0 || n >= vocabularyRows) {
                throw json.error(Reason.CONFIG, key + " has " + n + ", the vocabulary has the ids 0 to " + (vocabularyRows - 1));
            }
            end.add(n.intValue());
        }
    }

    /** As in transformers, sampling has to be asked for; a temperature that is given counts as asking. */
    private static SamplingOptions sampling(JsonObject json) {
        boolean sample = json.bool("do_sample", json.has("temperature") || json.has("top_p") || json.has("top_k"));
        try {
            SamplingOptions.Builder options =
                    SamplingOptions.builder().repetitionPenalty((float) json.number("repetition_penalty", 1));
            if (!sample) {
                return options.temperature(0).build();
            }
            int topK = json.has("top_k") ? json.integer("top_k", -1, Integer.MAX_VALUE) : 0;
            return options.temperature((float) json.number("temperature", 1))
                    .topK(Math.max(0, topK))
                    .topP((float) json.number("top_p", 1))
                    .minP((float) json.number("min_p", 0))
                    .typicalP((float) json.number("typical_p", 1))
                    .build();
        } catch (IllegalArgumentException e) {
            throw json.error(Reason.CONFIG, e.getMessage());
        }
    }
}
