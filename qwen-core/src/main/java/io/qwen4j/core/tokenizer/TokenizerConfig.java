package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What tokenizer_config.json says: added tokens and which tokens have a role. Everything else in it is left unread. */
final class TokenizerConfig implements TokenizerBuilder.Roles {
    private final Path path;
    private final List<AddedToken> addedTokens = new ArrayList<>();
    private @Nullable String beginning;
    private @Nullable String end;
    private @Nullable String padding;
    private boolean addBeginning;
    private @Nullable String tokenizerClass;

    private TokenizerConfig(Path path) {
        this.path = path;
    }

    /** Nothing said, as if the file were empty. */
    static TokenizerConfig none(Path path) {
        return new TokenizerConfig(path);
    }

    /** Reads the file. */
    static TokenizerConfig read(Path path, ModelLimits limits) {
        var config = new TokenizerConfig(path);
        Set<String> seen = new HashSet<>();
        try (JsonFile json = JsonFile.open(path, limits.tokenizerBytes())) {
            json.readObject(parser -> config.member(json, parser, seen));
        }
        return config;
    }

    private void member(JsonFile json, JsonParser parser, Set<String> seen) throws IOException {
        String name = parser.currentName();
        switch (name) {
            case "added_tokens_decoder", "bos_token", "eos_token", "pad_token", "add_bos_token", "tokenizer_class" -> {
                if (!seen.add(name)) {
                    throw error(Reason.DUPLICATE, "\"" + name + "\" occurs twice");
                }
            }
            default -> { }
        }
        switch (name) {
            case "added_tokens_decoder" -> addedTokens(json, parser);
            case "bos_token" -> beginning = spelling(name, json.tree());
            case "eos_token" -> end = spelling(name, json.tree());
            case "pad_token" -> padding = spelling(name, json.tree());
            case "add_bos_token" -> addBeginning = json.tree().asBoolean(false);
            case "tokenizer_class" -> tokenizerClass = json.tree().textValue();
            default -> parser.skipChildren();
        }
    }

    private void addedTokens(JsonFile json, JsonParser parser) throws IOException {
        if (parser.currentToken() == JsonToken.VALUE_NULL) {
            return;
        }
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            throw error(Reason.CORRUPT, "\"added_tokens_decoder\" must be an object");
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.currentName();
            parser.nextToken();
            addedTokens.add(AddedTokenReader.read(path, json.tree(), id(key)));
        }
    }

    private int id(String key) {
        try {
            return Integer.parseInt(key);
        } catch (NumberFormatException e) {
            throw new ModelFileException(
                    Reason.TOKENIZER,
                    path,
                    "the id of an added token must be a number, found \"" + TokenizerBuilder.shortened(key) + "\"",
                    e);
        }
    }

    /** A token is given as a string or as an object with its content. */
    private @Nullable String spelling(String name, JsonNode value) {
        JsonNode text = value.isObject() ? value.path("content") : value;
        if (!text.isTextual() && !text.isNull()) {
            throw error(Reason.CORRUPT, "\"" + name + "\" must be a string or an object with a string \"content\"");
        }
        return text.textValue();
    }

    private ModelFileException error(Reason reason, String message) {
        return new ModelFileException(reason, path, message);
    }

    List<AddedToken> addedTokens() {
        return addedTokens;
    }

    /** The name of the Python class that reads the files, or null. */
    @Nullable String tokenizerClass() {
        return tokenizerClass;
    }

    @Override
    public SpecialTokens resolve(TokenizerBuilder tokens) {
        return new SpecialTokens(id(tokens, beginning), id(tokens, end), id(tokens, padding), addBeginning);
    }

    private static OptionalInt id(TokenizerBuilder tokens, @Nullable String spelling) {
        return spelling == null ? OptionalInt.empty() : tokens.find(spelling);
    }
}
