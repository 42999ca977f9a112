package io.qwen4j.core.chat;

import io.qwen4j.core.chat.jinja.Seq;
import io.qwen4j.core.chat.jinja.Text;
import io.qwen4j.core.format.gguf.GgufMetadata;
import io.qwen4j.core.format.gguf.GgufStrings;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The special tokens of a model as variables of its template. */
final class SpecialTokens {
    private static final List<String> NAMES =
            List.of("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");

    private SpecialTokens() {}

    /** Those of tokenizer_config.json, each a string or an object with content; one that is null is not defined. */
    static Map<String, Object> of(Map<String, @Nullable Object> config) {
        Map<String, Object> tokens = new HashMap<>();
        for (String name : NAMES) {
            Text token = token(config.get(name));
            if (token != null) {
                tokens.put(name, token);
            }
        }
        List<Object> additional = new ArrayList<>();
        if (config.get("additional_special_tokens") instanceof List<?> list) {
            for (Object entry : list) {
                Text token = token(entry);
                if (token != null) {
                    additional.add(token);
                }
            }
        }
        if (!additional.isEmpty()) {
            tokens.put("additional_special_tokens", Seq.list(additional));
        }
        return tokens;
    }

    private static @Nullable Text token(@Nullable Object value) {
        Object content = value instanceof Map<?, ?> object ? object.get("content") : value;
        return content instanceof String string ? Text.trusted(string) : null;
    }

    /** Those of a GGUF file, given by id. */
    static Map<String, Object> of(GgufMetadata metadata) {
        Map<String, Object> tokens = new HashMap<>();
        if (!metadata.has("tokenizer.ggml.tokens")) {
            return tokens;
        }
        GgufStrings all = metadata.stringBytes("tokenizer.ggml.tokens");
        for (String name : List.of("bos", "eos", "unk", "pad")) {
            String key = "tokenizer.ggml." + (name.equals("unk") ? "unknown" : name.equals("pad") ? "padding" : name) + "_token_id";
            if (metadata.has(key)) {
                int id = metadata.integer(key, 0, Integer.MAX_VALUE);
                if (id < all.count()) {
                    tokens.put(name + "_token", Text.trusted(all.get(id)));
                }
            }
        }
        return tokens;
    }

    /** Those of a family whose templates always begin with their token and name its counterpart in the source. */
    static Map<String, Object> ofFamily(String source) {
        if (source.contains("<｜end▁of▁sentence｜>")) {
            return Map.of(
                    "bos_token", Text.trusted("<｜begin▁of▁sentence｜>"), "eos_token", Text.trusted("<｜end▁of▁sentence｜>"));
        }
        return Map.of();
    }
}
