package io.qwen4j.core.tokenizer;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/** Reads vocab.json and merges.txt, the older form of the same model; added tokens come from tokenizer_config.json. */
final class VocabularyFiles {
    /** Longest line of merges.txt, in characters. */
    private static final int MAX_LINE = 1 << 16;

    private VocabularyFiles() {}

    /** Reads both files. They say nothing of normalising and cutting, which are those of Qwen2. */
    static BpeTokenizer read(Path vocabulary, Path merges, TokenizerConfig config, ModelLimits limits) {
        String tokenizerClass = config.tokenizerClass();
        if (tokenizerClass != null && !tokenizerClass.startsWith("Qwen2Tokenizer")) {
            throw new ModelFileException(
                    Reason.UNSUPPORTED,
                    vocabulary,
                    "vocab.json and merges.txt are read as those of Qwen2Tokenizer, tokenizer_config.json says " + tokenizerClass);
        }
        var builder = new TokenizerBuilder(vocabulary, limits);
        JsonScanner json = JsonScanner.read(vocabulary, limits.tokenizerBytes());
        TokenizerJson.readVocabulary(json, builder);
        json.end();
        readMerges(merges, builder, limits);
        config.addedTokens().forEach(builder::added);
        return builder.build(true, config);
    }

    private static void readMerges(Path path, TokenizerBuilder builder, ModelLimits limits) {
        var decoder = StandardCharsets.UTF_8.newDecoder(); // reports what is not UTF-8
        try (var in = new BufferedReader(new InputStreamReader(TokenizerFiles.open(path, limits.tokenizerBytes()), decoder))) {
            char[] line = new char[256];
            int length = 0;
            boolean first = true;
            for (int c = in.read(); c >= 0 || length > 0; c = in.read()) {
                if (c >= 0 && c != '\n' && c != '\r') {
                    if (length == MAX_LINE) {
                        throw new ModelFileException(Reason.LIMIT, path, "a line is longer than " + MAX_LINE + " characters");
                    }
                    if (length == line.length) {
                        line = Arrays.copyOf(line, 2 * length);
                    }
                    line[length++] = (char) c;
                } else if (length > 0) {
                    boolean comment = first && new String(line, 0, length).startsWith("#version");
                    if (!comment) {
                        builder.merge(line, 0, length);
                    }
                    first = false;
                    length = 0;
                }
            }
        } catch (CharacterCodingException e) {
            throw new ModelFileException(Reason.CORRUPT, path, "it is not UTF-8", e);
        } catch (IOException e) {
            throw new ModelFileException(Reason.IO, path, "reading failed: " + e, e);
        }
    }
}
