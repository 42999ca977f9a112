package io.qwen4j.core.filter;

import io.qwen4j.ControlTokens;
import io.qwen4j.ModelInfo;
import io.qwen4j.QwenModel;
import io.qwen4j.filter.LengthLimit;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What scores depend on beside the document. A model is told by what it says: the log-probability (or the reward) of a fixed text, all
 * digits of it, differs with the weights, their types, the KV cache, the instruction set and the tokenizer, and takes one short prefill;
 * reading all weights again would take as long as loading them.
 */
final class ModelSettings {
    static final String PROBE = "The quality of a text shows in its facts, its reasoning and its style. In 1969, 2 of 3 people"
            + " landed on the Moon; \"what is it made of?\" asked the girl. def area(r): return 3.14159 * r ** 2";

    private ModelSettings() {}

    static Map<String, String> of(QwenModel model) {
        int[] probe = probe(model.tokenizer().encode(PROBE, ControlTokens.PLAIN), model.info());
        Map<String, String> settings = of(model.info());
        settings.put("log-probability of a probe", String.valueOf(model.score(probe).total()));
        return settings;
    }

    static Map<String, String> of(ModelInfo info) {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("model", info.name());
        settings.put("positions", info.positions());
        settings.put("context", String.valueOf(info.contextLength()));
        return settings;
    }

    /** As many tokens of the probe as the context holds. */
    static int[] probe(int[] ids, ModelInfo info) {
        return Arrays.copyOf(ids, Math.min(ids.length, info.contextLength()));
    }

    static Map<String, String> of(LengthLimit limit) {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("most tokens of a document", limit.mostTokens() == 0 ? "as the context holds" : String.valueOf(limit.mostTokens()));
        settings.put("longer documents", limit.truncate() ? "are truncated" : "are errors");
        return settings;
    }
}
