package io.qwen4j.tinyqwen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TinyQwenTest {
    @TempDir
    Path temporary;

    private static void assertWhole(Path directory) throws Exception {
        for (Bundle.Item item : Bundle.read().items()) {
            byte[] bytes = Files.readAllBytes(directory.resolve(item.name()));
            assertEquals(item.size(), bytes.length, item.name());
            assertEquals(item.sha256(), HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes)), item.name());
        }
        try (Stream<Path> files = Files.list(directory)) {
            assertEquals(Bundle.read().items().size(), files.count());
        }
    }

    @Test
    void unpacksEveryFile() throws Exception {
        Path directory = Bundle.read().unpack(temporary.resolve("a/b"));
        assertWhole(directory);
        assertTrue(Bundle.read().items().stream().anyMatch(i -> i.name().equals("model.safetensors")));
    }

    @Test
    void repairsWhatIsMissingOrCutAndLeavesTheRest() throws Exception {
        Path directory = Bundle.read().unpack(temporary.resolve("m"));
        FileTime before = Files.getLastModifiedTime(directory.resolve("model.safetensors"));
        Files.delete(directory.resolve("config.json"));
        Files.writeString(directory.resolve("tokenizer.json"), "{");
        Path abandoned = Files.writeString(directory.resolve("model.safetensors.1.unpacking"), "half");
        Files.setLastModifiedTime(abandoned, FileTime.from(Instant.now().minusSeconds(7200)));
        Bundle.read().unpack(directory);
        assertWhole(directory);
        assertEquals(before, Files.getLastModifiedTime(directory.resolve("model.safetensors")));
    }

    @Test
    void manyUnpackAtOnce() throws Exception {
        Path directory = temporary.resolve("shared");
        ExecutorService pool = Executors.newFixedThreadPool(8);
        try {
            List<Callable<Path>> tasks = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                tasks.add(() -> Bundle.read().unpack(directory));
            }
            for (Future<Path> done : pool.invokeAll(tasks)) {
                assertEquals(directory, done.get());
            }
        } finally {
            pool.shutdownNow();
        }
        assertWhole(directory);
    }

    @Test
    void fallsBackToATemporaryDirectory() throws Exception {
        assertWhole(Bundle.read().unpackTemporarily());
    }

    @Test
    void directoryIsNamedByItsContents() throws IOException {
        System.setProperty("qwen4j.cache", temporary.toString());
        try {
            Path directory = TinyQwen.directory();
            assertEquals(temporary.resolve("tiny-qwen-" + Bundle.read().id()), directory);
            assertEquals(directory, TinyQwen.directory());
        } finally {
            System.clearProperty("qwen4j.cache");
        }
    }

    @Test
    void cacheDirectoryFollowsTheXdgRules() {
        Path absolute = temporary.toAbsolutePath();
        assertEquals(List.of(absolute.resolve("qwen4j")), TinyQwen.caches(null, absolute.toString(), "/home/u"));
        assertEquals(List.of(Path.of("/home/u", ".cache", "qwen4j")), TinyQwen.caches(null, "relative", "/home/u"));
        assertEquals(List.of(Path.of("/home/u", ".cache", "qwen4j")), TinyQwen.caches("", null, "/home/u"));
        assertEquals(List.of(absolute), TinyQwen.caches(absolute.toString(), "/x", "/home/u"));
        assertEquals(List.of(), TinyQwen.caches(null, null, "?"));
    }
}
