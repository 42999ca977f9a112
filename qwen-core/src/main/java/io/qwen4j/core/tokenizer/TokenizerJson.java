package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/**
 * Reads tokenizer.json as a stream. Settings other than those of Qwen2 are refused: they would give other ids. The post-processor is left
 * unread, because encoding adds no tokens.
 */
final class TokenizerJson {
    private final Path path;
    private final ModelLimits limits;
    private final TokenizerBuilder builder;
    private final Set<String> seen = new HashSet<>();
    private boolean normalizes;
    private boolean vocabularyRead;
    private boolean mergesSkipped;

    private TokenizerJson(Path path, ModelLimits limits) {
        this.path = path;
        this.limits = limits;
        builder = new TokenizerBuilder(path, limits);
    }

    /** Reads the file; added tokens and roles come from tokenizer_config.json too. */
    static BpeTokenizer read(Path path, TokenizerConfig config, ModelLimits limits) {
        return new TokenizerJson(path, limits).read(config);
    }

    private BpeTokenizer read(TokenizerConfig config) {
        try (JsonFile json = JsonFile.open(path, limits.tokenizerBytes())) {
            json.readObject(parser -> member(json, parser));
        }
        if (mergesSkipped) {
            // Merges name tokens, and here they come before them.
            try (JsonFile json = JsonFile.open(path, limits.tokenizerBytes())) {
                json.readObject(this::mergesOnly);
            }
        }
        for (String name : new String[] {"pre_tokenizer", "decoder", "model", "model.vocab", "model.merges"}) {
            if (!seen.contains(name)) {
                throw error(Reason.CORRUPT, "\"" + name + "\" is missing");
            }
        }
        config.addedTokens().forEach(builder::addedElsewhere);
        return builder.build(normalizes, config);
    }

    private void member(JsonFile json, JsonParser parser) throws IOException {
        String name = parser.currentName();
        once(name);
        switch (name) {
            case "version" -> {
                JsonNode version = json.tree();
                if (!"1.0".equals(version.textValue())) {
                    throw error(Reason.UNSUPPORTED, "the version must be \"1.0\", found " + version);
                }
            }
            case "added_tokens" -> addedTokens(json, parser);
            case "normalizer" -> normalizes = TokenizerSettings.normalizes(path, json.tree());
            case "pre_tokenizer" -> TokenizerSettings.checkPreTokenizer(path, json.tree());
            case "decoder" -> TokenizerSettings.checkDecoder(path, json.tree());
            case "model" -> model(json, parser);
            default -> parser.skipChildren();
        }
    }

    /** Remembers the names that matter; of other names there may be any number. */
    private void once(String name) {
        boolean known = switch (name) {
            case "version", "added_tokens", "normalizer", "pre_tokenizer", "decoder", "model", "model.vocab", "model.merges" -> true;
            default -> false;
        };
        if (known && !seen.add(name)) {
            throw error(Reason.DUPLICATE, "\"" + name + "\" occurs twice");
        }
    }

    private void addedTokens(JsonFile json, JsonParser parser) throws IOException {
        expect(parser, JsonToken.START_ARRAY, "\"added_tokens\" must be an array");
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            builder.added(AddedTokenReader.read(path, json.tree()));
        }
    }

    private void model(JsonFile json, JsonParser parser) throws IOException {
        expect(parser, JsonToken.START_OBJECT, "\"model\" must be an object");
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            parser.nextToken();
            switch (name) {
                case "vocab" -> {
                    once("model.vocab");
                    readVocabulary(path, parser, builder);
                    vocabularyRead = true;
                }
                case "merges" -> {
                    once("model.merges");
                    if (vocabularyRead) {
                        merges(parser);
                    } else {
                        mergesSkipped = true;
                        parser.skipChildren();
                    }
                }
                case "type", "dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges" ->
                    TokenizerSettings.checkModel(path, name, json.tree());
                default -> parser.skipChildren();
            }
        }
    }

    /** Reads an object of token to id. */
    static void readVocabulary(Path path, JsonParser parser, TokenizerBuilder builder) throws IOException {
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            throw new ModelFileException(Reason.CORRUPT, path, "the vocabulary must be an object of token and id");
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            readToken(path, parser, builder, parser.currentName(), parser.nextToken());
        }
    }

    /** Reads a token whose id the parser is on. */
    static void readToken(Path path, JsonParser parser, TokenizerBuilder builder, String spelling, JsonToken value) throws IOException {
        if (value != JsonToken.VALUE_NUMBER_INT || parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
            throw new ModelFileException(
                    Reason.TOKENIZER,
                    path,
                    "the id of \"" + TokenizerBuilder.shortened(spelling) + "\" must be a whole number, found "
                            + TokenizerBuilder.shortened(parser.getText()));
        }
        builder.token(spelling, parser.getLongValue());
    }

    private void merges(JsonParser parser) throws IOException {
        expect(parser, JsonToken.START_ARRAY, "\"merges\" must be an array");
        JsonToken token;
        while ((token = parser.nextToken()) != JsonToken.END_ARRAY) {
            if (token == JsonToken.VALUE_STRING) {
                char[] text = parser.getTextCharacters();
                int from = parser.getTextOffset();
                builder.merge(text, from, from + parser.getTextLength());
            } else {
                expect(parser, JsonToken.START_ARRAY, "a merge must be a string or an array of two strings");
                String left = parser.nextTextValue();
                String right = parser.nextTextValue();
                if (left == null || right == null || parser.nextToken() != JsonToken.END_ARRAY) {
                    throw error(Reason.CORRUPT, "a merge must be a string or an array of two strings");
                }
                builder.merge(left, right);
            }
        }
    }

    private void mergesOnly(JsonParser parser) throws IOException {
        if (!parser.currentName().equals("model")) {
            parser.skipChildren();
            return;
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            boolean found = parser.currentName().equals("merges");
            parser.nextToken();
            if (found) {
                merges(parser);
            } else {
                parser.skipChildren();
            }
        }
    }

    private void expect(JsonParser parser, JsonToken token, String message) {
        if (parser.currentToken() != token) {
            throw error(Reason.CORRUPT, message);
        }
    }

    private ModelFileException error(Reason reason, String message) {
        return new ModelFileException(reason, path, message);
    }
}
