package io.qwen4j.core.tokenizer;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.gguf.GgufMetadata;
import io.qwen4j.core.format.gguf.GgufStrings;
import java.nio.file.Path;
import java.util.OptionalInt;
import java.util.Set;

/** Reads the tokenizer in the metadata of a GGUF file. */
final class GgufTokenizer {
    private static final String PREFIX = "tokenizer.ggml.";
    private static final String TOKENS = PREFIX + "tokens";
    private static final String TYPES = PREFIX + "token_type";
    private static final String SCORES = PREFIX + "scores";
    private static final String MERGES = PREFIX + "merges";

    private static final int NORMAL = 1;
    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final int UNUSED = 5;
    private static final int BYTE = 6;

    /** Ways of cutting text that are those of Qwen2. */
    private static final Set<String> PRE_TOKENIZERS = Set.of("qwen2", "deepseek-r1-qwen");

    /** The converter calls every token in angle bars a control token; these six stay in decoded text with the original files. */
    private static final Set<String> VISIBLE = Set.of(
            "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>");

    private final Path file;
    private final GgufMetadata metadata;
    private final TokenizerBuilder builder;

    private GgufTokenizer(GgufMetadata metadata, ModelLimits limits) {
        this.file = metadata.file();
        this.metadata = metadata;
        builder = new TokenizerBuilder(file, limits);
    }

    static BpeTokenizer read(GgufMetadata metadata, ModelLimits limits) {
        return new GgufTokenizer(metadata, limits).read(limits);
    }

    private BpeTokenizer read(ModelLimits limits) {
        require(PREFIX + "model");
        String model = metadata.string(PREFIX + "model");
        if (!model.equals("gpt2")) {
            throw error(Reason.UNSUPPORTED, PREFIX + "model must be gpt2 (byte-level BPE), found " + TokenizerBuilder.shortened(model));
        }
        String preTokenizer = metadata.string(PREFIX + "pre", "qwen2");
        if (!PRE_TOKENIZERS.contains(preTokenizer)) {
            throw error(
                    Reason.UNSUPPORTED,
                    PREFIX + "pre must be one of " + PRE_TOKENIZERS + ", found " + TokenizerBuilder.shortened(preTokenizer));
        }
        require(TOKENS);
        require(TYPES);
        require(MERGES);
        int count = metadata.value(TOKENS).count();
        if (count > limits.vocabulary()) {
            throw error(Reason.LIMIT, TOKENS + " has " + count + " elements, the limit is " + limits.vocabulary());
        }
        checkCount(TYPES, count);
        if (metadata.has(SCORES)) {
            checkCount(SCORES, count);
        }
        tokens();
        merges();
        return builder.build(true, tokens -> roles(count));
    }

    private void tokens() {
        GgufStrings tokens = metadata.stringBytes(TOKENS);
        int[] types = metadata.ints(TYPES);
        int end = tokens.count();
        while (end > 0 && types[end - 1] == UNUSED) {
            end--;
        }
        for (int id = 0; id < end; id++) {
            tokens.next();
            if (types[id] == NORMAL) {
                builder.token(tokens.bytes(), tokens.from(), tokens.to(), id);
                continue;
            }
            String token = tokens.text();
            switch (types[id]) {
                case UNKNOWN, CONTROL -> builder.added(added(id, token, !VISIBLE.contains(token)));
                case USER_DEFINED -> builder.added(added(id, token, false));
                case UNUSED -> builder.unused(token, id);
                case BYTE -> builder.byteToken(token, id);
                default -> throw error(Reason.TOKENIZER, TYPES + "[" + id + "] must be 1 to 6, found " + types[id]);
            }
        }
    }

    private static AddedToken added(int id, String spelling, boolean special) {
        return new AddedToken(id, spelling, false, false, false, special);
    }

    private void merges() {
        GgufStrings merges = metadata.stringBytes(MERGES);
        while (merges.next()) {
            builder.merge(merges.bytes(), merges.from(), merges.to());
        }
    }

    private SpecialTokens roles(int count) {
        String addBeginning = PREFIX + "add_bos_token";
        return new SpecialTokens(
                role("bos_token_id", count),
                role("eos_token_id", count),
                role("padding_token_id", count),
                metadata.has(addBeginning) && metadata.bool(addBeginning));
    }

    private OptionalInt role(String name, int count) {
        if (!metadata.has(PREFIX + name)) {
            return OptionalInt.empty();
        }
        long id = metadata.unsigned(PREFIX + name);
        if (id >= count) {
            throw error(Reason.TOKENIZER, PREFIX + name + " is " + id + ", but there are " + count + " tokens");
        }
        return OptionalInt.of((int) id);
    }

    private void require(String key) {
        if (!metadata.has(key)) {
            throw error(Reason.MISSING, "there is no tokenizer: the metadata key " + key + " is missing");
        }
    }

    private void checkCount(String key, int count) {
        int found = metadata.value(key).count();
        if (found != count) {
            throw error(Reason.CORRUPT, key + " has " + found + " elements, but there are " + count + " tokens");
        }
    }

    private ModelFileException error(Reason reason, String message) {
        return new ModelFileException(reason, file, message);
    }
}
