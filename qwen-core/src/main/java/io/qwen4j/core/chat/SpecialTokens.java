package io.qwen4j.core.chat;

import com.fasterxml.jackson.databind.JsonNode;
import io.qwen4j.core.chat.jinja.Seq;
import io.qwen4j.core.chat.jinja.Text;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The special tokens of a model as variables of its template. */
final class SpecialTokens {
    private static final List<String> NAMES = List.of("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");

    private SpecialTokens() {}

    /** Those of tokenizer_config.json, each a string or an object with content; one that is null is not defined. */
    static Map<String, Object> of(JsonNode config) {
        Map<String, Object> tokens = new HashMap<>();
        for (String name : NAMES) {
            Text token = token(config.get(name));
            if (token != null) {
                tokens.put(name, token);
            }
        }
        List<Object> additional = new ArrayList<>();
        for (JsonNode entry : config.path("additional_special_tokens")) {
            Text token = token(entry);
            if (token != null) {
                additional.add(token);
            }
        }
        if (!additional.isEmpty()) {
            tokens.put("additional_special_tokens", Seq.list(additional));
        }
        return tokens;
    }

    private static @Nullable Text token(@Nullable JsonNode node) {
        JsonNode content = node != null && node.isObject() ? node.get("content") : node;
        return content != null && content.isTextual() ? Text.trusted(content.textValue()) : null;
    }

    /** Those of a family whose templates always begin with their token and name its counterpart in the source. */
    static Map<String, Object> ofFamily(String source) {
        if (source.contains("<｜end▁of▁sentence｜>")) {
            return Map.of("bos_token", Text.trusted("<｜begin▁of▁sentence｜>"), "eos_token", Text.trusted("<｜end▁of▁sentence｜>"));
        }
        return Map.of();
    }
}
