package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.qwen4j.ModelLimits;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.zip.GZIPInputStream;

/** The tokenizer of Qwen2.5, read once for all tests, and files of the test data. */
final class RealTokenizer {
    static final BpeTokenizer INSTANCE = load();

    private RealTokenizer() {}

    private static BpeTokenizer load() {
        try {
            Path directory = Files.createTempDirectory("qwen4j-tokenizer");
            try {
                copyTo(directory);
                return TokenizerLoader.load(directory, ModelLimits.DEFAULT);
            } finally {
                delete(directory);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Writes tokenizer.json and tokenizer_config.json into a directory. */
    static void copyTo(Path directory) throws IOException {
        try (InputStream in = unzipped("tokenizer.json.gz")) {
            Files.copy(in, directory.resolve("tokenizer.json"));
        }
        try (InputStream in = resource("tokenizer_config.json")) {
            Files.copy(in, directory.resolve("tokenizer_config.json"));
        }
    }

    private static void delete(Path directory) throws IOException {
        List<Path> files;
        try (var all = Files.walk(directory)) {
            files = all.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path file : files) {
            Files.delete(file);
        }
    }

    static InputStream resource(String name) {
        return Objects.requireNonNull(RealTokenizer.class.getResourceAsStream(name), name);
    }

    static InputStream unzipped(String name) throws IOException {
        return new GZIPInputStream(resource(name));
    }

    /** A compressed JSON array of objects with a text and its ids. */
    static JsonNode cases(String name) throws IOException {
        try (InputStream in = unzipped(name)) {
            return new ObjectMapper().readTree(in);
        }
    }

    static int[] ids(JsonNode array) {
        int[] ids = new int[array.size()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = array.get(i).intValue();
        }
        return ids;
    }
}
