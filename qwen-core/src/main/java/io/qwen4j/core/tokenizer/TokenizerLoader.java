package io.qwen4j.core.tokenizer;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.gguf.GgufFile;
import io.qwen4j.core.format.gguf.GgufMetadata;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads the tokenizer of a model. */
public final class TokenizerLoader {
    private static final String TOKENIZER = "tokenizer.json";
    private static final String VOCABULARY = "vocab.json";
    private static final String MERGES = "merges.txt";
    private static final String CONFIG = "tokenizer_config.json";

    private TokenizerLoader() {}

    /** Reads the tokenizer of a directory with tokenizer.json, or vocab.json and merges.txt; or of a GGUF file. */
    public static BpeTokenizer load(Path model, ModelLimits limits) {
        if (Files.isDirectory(model)) {
            return directory(model, limits);
        }
        return of(GgufFile.readMetadata(model, limits), limits);
    }

    /** Reads the tokenizer in the metadata of a GGUF file that is open already. */
    public static BpeTokenizer of(GgufMetadata metadata, ModelLimits limits) {
        return GgufTokenizer.read(metadata, limits);
    }

    private static BpeTokenizer directory(Path directory, ModelLimits limits) {
        Path configFile = directory.resolve(CONFIG);
        TokenizerConfig config = Files.exists(configFile) ? TokenizerConfig.read(configFile, limits) : TokenizerConfig.none(configFile);
        Path tokenizer = directory.resolve(TOKENIZER);
        if (Files.exists(tokenizer)) {
            return TokenizerJson.read(tokenizer, config, limits);
        }
        Path vocabulary = directory.resolve(VOCABULARY);
        Path merges = directory.resolve(MERGES);
        if (Files.exists(vocabulary) && Files.exists(merges)) {
            return VocabularyFiles.read(vocabulary, merges, config, limits);
        }
        throw new ModelFileException(
                Reason.MISSING, directory, "there is no tokenizer: expected " + TOKENIZER + ", or " + VOCABULARY + " and " + MERGES);
    }
}
