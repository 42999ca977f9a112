package io.qwen4j.benchmarks;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Objects;
import java.util.zip.GZIPInputStream;

/** The tokenizer that is measured. */
final class TokenizerFile {
    private TokenizerFile() {}

    /** A directory with tokenizer.json: the given one, or if it is empty a temporary one with the tokenizer of Qwen2.5. */
    static Path directory(String given) throws IOException {
        if (!given.isEmpty()) {
            return Path.of(given);
        }
        Path directory = Files.createTempDirectory("qwen4j-benchmark");
        Path file = directory.resolve("tokenizer.json");
        file.toFile().deleteOnExit();
        directory.toFile().deleteOnExit();
        InputStream zipped = Objects.requireNonNull(TokenizerFile.class.getResourceAsStream("tokenizer.json.gz"));
        try (InputStream in = new GZIPInputStream(zipped)) {
            Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
        }
        return directory;
    }
}
