package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.SamplingOptions;
import io.qwen4j.core.format.FormatError;
import io.qwen4j.core.format.GenerationDefaults;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Checks the vocabulary's arrays of a GGUF file against each other and finds the tokens that end an answer. */
final class GgufGenerationDefaults {
    private static final String TOKENS = "tokenizer.ggml.tokens";
    private static final String TOKEN_TYPES = "tokenizer.ggml.token_type";
    private static final String SCORES = "tokenizer.ggml.scores";
    private static final String MERGES = "tokenizer.ggml.merges";
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final List<String> END_KEYS =
            List.of("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id");
    /** A GGUF file has one end id where Qwen has a list; llama.cpp finds the others by their text. */
    private static final Set<String> END_TEXTS = Set.of("<|im_end|>", "<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>");

    private GgufGenerationDefaults() {}

    static GenerationDefaults read(GgufMetadata metadata, int vocabularyRows) {
        Set<Integer> end = new LinkedHashSet<>();
        for (String key : END_KEYS) {
            if (metadata.has(key)) {
                end.add(metadata.integer(key, 0, vocabularyRows - 1));
            }
        }
        if (metadata.has(TOKENS)) {
            addByText(metadata, vocabularyRows, end);
        }
        return new GenerationDefaults(sampling(metadata), Collections.unmodifiableSet(end));
    }

    private static void addByText(GgufMetadata metadata, int vocabularyRows, Set<Integer> end) {
        GgufStrings tokens = metadata.stringBytes(TOKENS);
        if (tokens.count() != vocabularyRows) {
            throw FormatError.of(
                    Reason.CONFIG,
                    metadata.file(),
                    TOKENS + " has " + tokens.count() + " tokens, but the embedding has " + vocabularyRows + " rows");
        }
        if (metadata.has(MERGES)) {
            metadata.checkStrings(MERGES);
        }
        if (metadata.has(SCORES)) {
            checkLength(metadata, SCORES, metadata.floats(SCORES).length, vocabularyRows);
        }
        if (!metadata.has(TOKEN_TYPES)) {
            return;
        }
        int[] types = metadata.ints(TOKEN_TYPES);
        checkLength(metadata, TOKEN_TYPES, types.length, vocabularyRows);
        for (int id = 0; id < types.length; id++) {
            if ((types[id] == CONTROL || types[id] == USER_DEFINED) && END_TEXTS.contains(tokens.get(id))) {
                end.add(id);
            }
        }
    }

    private static void checkLength(GgufMetadata metadata, String key, int found, int expected) {
        if (found != expected) {
            throw FormatError.of(
                    Reason.CORRUPT, metadata.file(), key + " has " + found + " elements, " + TOKENS + " has " + expected);
        }
    }

    private static SamplingOptions sampling(GgufMetadata metadata) {
        String topK = "general.sampling.top_k";
        try {
            return SamplingOptions.builder()
                    .temperature((float) metadata.number("general.sampling.temp", 1))
                    .topK(metadata.has(topK) ? Math.max(0, metadata.integer(topK, -1, Integer.MAX_VALUE)) : 0)
                    .topP((float) metadata.number("general.sampling.top_p", 1))
                    .minP((float) metadata.number("general.sampling.min_p", 0))
                    .repetitionPenalty((float) metadata.number("general.sampling.penalty_repeat", 1))
                    .build();
        } catch (IllegalArgumentException e) {
            throw FormatError.of(Reason.CONFIG, metadata.file(), "general.sampling: " + e.getMessage(), e);
        }
    }
}
