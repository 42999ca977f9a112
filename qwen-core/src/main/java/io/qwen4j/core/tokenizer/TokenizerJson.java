package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Reads tokenizer.json as a stream. Settings other than those of Qwen2 are refused: they would give other ids. The post-processor is left
 * unread, because encoding adds no tokens.
 */
final class TokenizerJson {
    private final Path path;
    private final TokenizerBuilder builder;
    private final Set<String> seen = new HashSet<>();
    private final JsonScanner json;
    private boolean normalizes;
    /** Where the merges are that are still to be read, or -1. */
    private int mergesAt = -1;

    private TokenizerJson(Path path, ModelLimits limits) {
        this.path = path;
        json = JsonScanner.read(path, limits.tokenizerBytes());
        builder = new TokenizerBuilder(path, limits);
    }

    /** Reads the file; added tokens and roles come from tokenizer_config.json too. */
    static BpeTokenizer read(Path path, TokenizerConfig config, ModelLimits limits) {
        return new TokenizerJson(path, limits).read(config);
    }

    private BpeTokenizer read(TokenizerConfig config) {
        json.object(this::member);
        json.end();
        for (String name : new String[] {"pre_tokenizer", "decoder", "model", "model.vocab", "model.merges"}) {
            if (!seen.contains(name)) {
                throw error(Reason.CORRUPT, "\"" + name + "\" is missing");
            }
        }
        if (mergesAt >= 0) {
            json.moveTo(mergesAt);
            merges();
        }
        config.addedTokens().forEach(builder::addedElsewhere);
        return builder.build(normalizes, config);
    }

    private void member() {
        String name = json.string();
        once(name);
        switch (name) {
            case "version" -> {
                JsonNode version = json.tree();
                if (!"1.0".equals(version.textValue())) {
                    throw error(Reason.UNSUPPORTED, "the version must be \"1.0\", found " + TokenizerBuilder.shortened(version.toString()));
                }
            }
            case "added_tokens" -> {
                expect('[', "\"added_tokens\" must be an array");
                json.array(() -> builder.added(AddedTokenReader.read(path, json.tree())));
            }
            case "normalizer" -> normalizes = TokenizerSettings.normalizes(path, json.tree());
            case "pre_tokenizer" -> TokenizerSettings.checkPreTokenizer(path, json.tree());
            case "decoder" -> TokenizerSettings.checkDecoder(path, json.tree());
            case "model" -> {
                expect('{', "\"model\" must be an object");
                json.object(this::modelMember);
            }
            default -> json.pass();
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

    private void modelMember() {
        String name = json.string();
        switch (name) {
            case "vocab" -> {
                once("model.vocab");
                expect('{', "the vocabulary must be an object of token and id");
                readVocabulary(json, builder);
            }
            case "merges" -> {
                once("model.merges");
                if (seen.contains("model.vocab")) {
                    merges();
                } else {
                    // Merges name tokens, and here they come before them.
                    mergesAt = json.position();
                    json.pass();
                }
            }
            case "type", "dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges" ->
                TokenizerSettings.checkModel(path, name, json.tree());
            default -> json.pass();
        }
    }

    /** Reads an object of token to id. */
    static void readVocabulary(JsonScanner json, TokenizerBuilder builder) {
        json.object(() -> builder.token(json.text(), json.length(), json.id()));
    }

    private void merges() {
        expect('[', "\"merges\" must be an array");
        json.array(this::merge);
    }

    private void merge() {
        if (json.peek() == '"') {
            json.readString();
            builder.merge(json.text(), 0, json.length());
            return;
        }
        expect('[', "a merge must be a string or an array of two strings");
        List<String> parts = new ArrayList<>(2);
        json.array(() -> {
            expect('"', "a merge must be a string or an array of two strings");
            json.readString();
            parts.add(json.string());
        });
        if (parts.size() != 2) {
            throw error(Reason.CORRUPT, "a merge must be a string or an array of two strings");
        }
        builder.merge(parts.get(0), parts.get(1));
    }

    private void expect(char c, String message) {
        if (json.peek() != c) {
            throw error(Reason.CORRUPT, message);
        }
    }

    private ModelFileException error(Reason reason, String message) {
        return new ModelFileException(reason, path, message);
    }
}
