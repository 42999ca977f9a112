package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.FormatError;
import io.qwen4j.core.format.Json;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.format.ModelDirectory;
import io.qwen4j.core.format.TextFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The tokenizer's files of a Hugging Face directory as metadata: tokenizer.json, or vocab.json and merges.txt. */
final class HfVocabulary {
    private static final String TOKENIZER = "tokenizer.json";
    private static final String VOCABULARY = "vocab.json";
    private static final String MERGES = "merges.txt";
    private static final String TOKENIZER_CONFIG = "tokenizer_config.json";
    private static final String TEMPLATE = "chat_template.jinja";
    private static final String CONFIG = "config.json";
    private static final int NORMAL = 1;
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final int UNUSED = 5;
    /** A row has a token and about one merge, a list of two strings in newer files. */
    private static final int VALUES_PER_ROW = 8;

    private final ModelDirectory directory;
    private final ModelLimits limits;
    private final String[] tokens;
    private final int[] types;
    private List<String> merges = List.of();

    HfVocabulary(ModelDirectory directory, int vocabularyRows, ModelLimits limits) {
        this.directory = directory;
        this.limits = limits;
        this.tokens = new String[vocabularyRows];
        this.types = new int[vocabularyRows];
    }

    /** Adds the keys; none of the vocabulary if there are no files of it. */
    void addTo(Map<String, GgufValue> out) {
        JsonObject config = directory.has(TOKENIZER_CONFIG)
                ? read(TOKENIZER_CONFIG)
                : new JsonObject(directory.file(TOKENIZER_CONFIG), Map.of());
        if (directory.has(TOKENIZER)) {
            readTokenizer(read(TOKENIZER));
        } else if (directory.has(VOCABULARY) && directory.has(MERGES)) {
            readVocabulary(config);
        } else {
            return;
        }
        for (int id = 0; id < tokens.length; id++) {
            if (tokens[id] == null) {
                tokens[id] = "[PAD" + id + "]";
                types[id] = UNUSED;
            }
        }
        out.put("tokenizer.ggml.model", GgufValue.of("gpt2"));
        out.put("tokenizer.ggml.pre", GgufValue.of("qwen2"));
        out.put("tokenizer.ggml.tokens", GgufValue.of(Arrays.asList(tokens)));
        out.put("tokenizer.ggml.token_type", GgufValue.of(types));
        out.put("tokenizer.ggml.merges", GgufValue.of(merges));
        JsonObject model = read(CONFIG);
        special(out, "eos", config, model);
        special(out, "bos", config, model);
        special(out, "pad", config, model);
        out.put("tokenizer.ggml.add_bos_token", GgufValue.of(config.bool("add_bos_token", false)));
        templates(out, config);
    }

    private JsonObject read(String name) {
        Path file = directory.file(name);
        return new JsonObject(file, Json.readObject(file, limits.tokenizerBytes(), (long) VALUES_PER_ROW * limits.vocabulary()));
    }

    private void readTokenizer(JsonObject json) {
        JsonObject model = json.object("model");
        addVocabulary(model.object("vocab"));
        merges = new ArrayList<>();
        for (Object merge : model.list("merges")) {
            if (merge instanceof String s) {
                merges.add(s);
            } else if (merge instanceof List<?> pair
                    && pair.size() == 2
                    && pair.get(0) instanceof String a
                    && pair.get(1) instanceof String b) {
                merges.add(a + " " + b);
            } else {
                throw json.error(Reason.TOKENIZER, "a merge must be \"a b\" or [\"a\", \"b\"], found " + merge);
            }
        }
        if (json.has("added_tokens")) {
            for (Object added : json.list("added_tokens")) {
                if (!(added instanceof Map<?, ?> token) || !(token.get("id") instanceof Long id)) {
                    throw json.error(Reason.TOKENIZER, "an added token must be an object with an id, found " + added);
                }
                addToken(json, id, token);
            }
        }
    }

    private void readVocabulary(JsonObject config) {
        addVocabulary(read(VOCABULARY));
        merges = new ArrayList<>();
        Path file = directory.file(MERGES);
        for (String line : TextFile.lines(file, limits.tokenizerBytes())) {
            boolean comment = merges.isEmpty() && line.startsWith("#version");
            if (!comment && !line.isEmpty()) {
                merges.add(line);
            }
        }
        if (config.has("added_tokens_decoder")) {
            JsonObject added = config.object("added_tokens_decoder");
            added.fields().forEach((id, token) -> {
                if (!id.matches("[0-9]{1,9}") || !(token instanceof Map<?, ?> map)) {
                    throw config.error(Reason.TOKENIZER, "added_tokens_decoder has the entry " + id + ", expected an id and an object");
                }
                addToken(config, Long.parseLong(id), map);
            });
        }
    }

    private void addVocabulary(JsonObject vocabulary) {
        vocabulary.fields().forEach((token, id) -> {
            if (!(id instanceof Long n)) {
                throw vocabulary.error(Reason.TOKENIZER, "the token \"" + token + "\" has the id " + id);
            }
            int i = checked(vocabulary, n, token);
            if (tokens[i] != null) {
                throw vocabulary.error(Reason.TOKENIZER, "the tokens \"" + tokens[i] + "\" and \"" + token + "\" both have the id " + n);
            }
            tokens[i] = token;
            types[i] = NORMAL;
        });
    }

    /** As the converter of llama.cpp has it, every {@code <|...|>} is a control token, also those that are not special. */
    private void addToken(JsonObject json, long id, Map<?, ?> token) {
        if (!(token.get("content") instanceof String text) || text.isEmpty()) {
            throw json.error(Reason.TOKENIZER, "the added token " + id + " has no content");
        }
        int i = checked(json, id, text);
        boolean control = Boolean.TRUE.equals(token.get("special")) || text.startsWith("<|") && text.endsWith("|>");
        tokens[i] = text;
        types[i] = control ? CONTROL : USER_DEFINED;
    }

    private int checked(JsonObject json, long id, String token) {
        if (id < 0 || id >= tokens.length) {
            throw json.error(
                    Reason.TOKENIZER, "the token \"" + token + "\" has the id " + id + ", the embedding has " + tokens.length + " rows");
        }
        return (int) id;
    }

    /** A special token by its text in tokenizer_config.json, else by its id in config.json. */
    private void special(Map<String, GgufValue> out, String name, JsonObject config, JsonObject model) {
        String key = "tokenizer.ggml." + (name.equals("pad") ? "padding" : name) + "_token_id";
        Object named = config.fields().get(name + "_token");
        Object text = named instanceof Map<?, ?> map ? map.get("content") : named;
        int id = text instanceof String s ? Arrays.asList(tokens).indexOf(s) : -1;
        if (id < 0 && model.fields().get(name + "_token_id") instanceof Long n) {
            id = checked(model, n, name + "_token_id");
        }
        if (id >= 0) {
            out.put(key, GgufValue.of(id));
        }
    }

    private void templates(Map<String, GgufValue> out, JsonObject config) {
        String key = "tokenizer.chat_template";
        Object template = config.fields().get("chat_template");
        if (directory.has(TEMPLATE)) {
            out.put(key, GgufValue.of(checked(TextFile.text(directory.file(TEMPLATE), 4L * limits.templateCharacters()))));
        } else if (template instanceof String text) {
            out.put(key, GgufValue.of(checked(text)));
        } else if (template instanceof List<?> list) {
            for (Object item : list) {
                if (item instanceof Map<?, ?> map && map.get("name") instanceof String name && map.get("template") instanceof String text) {
                    out.put(name.equals("default") ? key : key + "." + name, GgufValue.of(checked(text)));
                }
            }
        }
    }

    private String checked(String template) {
        if (template.length() > limits.templateCharacters()) {
            throw FormatError.of(
                    Reason.LIMIT,
                    directory.path(),
                    "the chat template has " + template.length() + " characters, at most " + limits.templateCharacters() + " are read");
        }
        return template;
    }
}
