package io.qwen4j.core.format;

import static io.qwen4j.core.format.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.testing.GoldenFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Indexes of shards that lie, and names that lead elsewhere. */
class IndexRefusalTest {
    private static final String FIRST = "model-00001-of-00002.safetensors";
    private static final String SECOND = "model-00002-of-00002.safetensors";
    private static final String TENSOR = "model.embed_tokens.weight";

    @TempDir
    Path temp;

    private Path model;
    private Path index;

    @BeforeEach
    void unpack() {
        model = GoldenFiles.unpack("dense-tied", temp);
        index = model.resolve("model.safetensors.index.json");
    }

    private void change(String from, String to) throws IOException {
        String text = Files.readString(index);
        assertTrue(text.contains(from));
        Files.writeString(index, text.replace(from, to));
    }

    @Test
    void refusesMissingShard() throws IOException {
        Files.delete(model.resolve(SECOND));
        assertRefused(model, Reason.MISSING, SECOND);
    }

    @Test
    void refusesEmptyShard() throws IOException {
        Files.write(model.resolve(SECOND), new byte[0]);
        assertRefused(model, Reason.MISSING, SECOND);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "../model.safetensors",
                "..",
                ".",
                "/etc/passwd",
                "sub/x.safetensors",
                "sub\\\\x.safetensors",
                "C:x",
                "",
                "a\\u0000b",
                "a\\nb"
            })
    void refusesNamesThatAreNotPlain(String name) throws IOException {
        change("\"" + FIRST + "\"", "\"" + name + "\"");
        assertRefused(model, Reason.PATH, "expected a plain file name");
    }

    @Test
    void refusesDirectory() throws IOException {
        Files.delete(model.resolve(SECOND));
        Files.createDirectory(model.resolve(SECOND));
        assertRefused(model, Reason.PATH, SECOND);
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void refusesFifoWithoutBlocking() throws IOException, InterruptedException {
        Files.delete(model.resolve(SECOND));
        Process fifo = new ProcessBuilder("mkfifo", model.resolve(SECOND).toString()).inheritIO().start();
        assertEquals(0, fifo.waitFor());
        assertRefused(model, Reason.PATH, SECOND);
    }

    @ParameterizedTest
    @ValueSource(strings = {"config.json", "generation_config.json"})
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void refusesFifoForFixedNames(String name) throws IOException, InterruptedException {
        Files.deleteIfExists(model.resolve(name));
        Process fifo = new ProcessBuilder("mkfifo", model.resolve(name).toString()).inheritIO().start();
        assertEquals(0, fifo.waitFor());
        assertRefused(model, Reason.PATH, name);
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void refusesDevices() throws IOException {
        Files.delete(model.resolve(SECOND));
        Files.createSymbolicLink(model.resolve(SECOND), Path.of("/dev/zero"));
        assertRefused(model, Reason.PATH, SECOND);
        assertRefusedFile(Path.of("/dev/zero"));
    }

    private static void assertRefusedFile(Path file) {
        var e = org.junit.jupiter.api.Assertions.assertThrows(
                io.qwen4j.ModelFileException.class, () -> CheckpointReader.open(file, ModelLimits.DEFAULT));
        assertEquals(Reason.PATH, e.reason());
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void refusesLinkOutOfTheDirectory() throws IOException {
        Path outside = Files.createDirectory(temp.resolve("outside")).resolve("x.safetensors");
        Files.move(model.resolve(SECOND), outside);
        Files.createSymbolicLink(model.resolve(SECOND), outside);
        assertRefused(model, Reason.PATH, SECOND);
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void refusesLinkThroughDirectoryLink() throws IOException {
        Path outside = Files.createDirectory(temp.resolve("outside"));
        Files.move(model.resolve(SECOND), outside.resolve(SECOND));
        Files.createSymbolicLink(model.resolve("inside"), outside);
        Files.createSymbolicLink(model.resolve(SECOND), Path.of("inside", SECOND));
        assertRefused(model, Reason.PATH, SECOND);
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void refusesLoopOfLinks() throws IOException {
        Files.delete(model.resolve(SECOND));
        Files.createSymbolicLink(model.resolve(SECOND), Path.of(SECOND));
        assertRefused(model, Reason.IO, SECOND);
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void opensTheCacheOfTheHub() throws IOException {
        Path repository = temp.resolve("hub").resolve("models--Qwen--Qwen2.5");
        Path snapshot = Files.createDirectories(repository.resolve("snapshots").resolve("abc123"));
        Path blobs = Files.createDirectories(repository.resolve("blobs"));
        try (Stream<Path> files = Files.list(model)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                String digest = Integer.toHexString(file.getFileName().hashCode());
                Files.move(file, blobs.resolve(digest));
                Files.createSymbolicLink(snapshot.resolve(file.getFileName()), Path.of("..", "..", "blobs", digest));
            }
        }
        CheckpointReader.open(snapshot, ModelLimits.DEFAULT).close();
        Path link = temp.resolve("link");
        Files.createSymbolicLink(link, snapshot);
        CheckpointReader.open(link, ModelLimits.DEFAULT).close();
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void opensDirectoryWhoseFixedNamesAreLinks() throws IOException {
        Path real = temp.resolve("elsewhere.json");
        Files.move(model.resolve("config.json"), real);
        Files.createSymbolicLink(model.resolve("config.json"), real);
        CheckpointReader.open(model, ModelLimits.DEFAULT).close();
    }

    @Test
    void refusesTensorInTwoShards() throws IOException {
        Files.copy(model.resolve(FIRST), model.resolve("copy.safetensors"));
        change("\"model.norm.weight\"", "\"other\": \"copy.safetensors\", \"model.norm.weight\"");
        // The tensor that the index invents is missing; without it the copy's tensors are there twice.
        assertRefused(model, Reason.MISSING, "other");
        change("\"other\"", "\"model.layers.0.input_layernorm.weight\"");
        String text = Files.readString(index);
        assertTrue(text.contains("copy.safetensors"));
        Files.writeString(index, dropSecond(text, "\"model.layers.0.input_layernorm.weight\""));
        assertRefused(model, Reason.DUPLICATE, "and in");
    }

    /** Removes the entry of a key that does not name the copy. */
    private static String dropSecond(String json, String key) {
        return json.replaceAll("(?m)^\\s*" + java.util.regex.Pattern.quote(key) + ": \"model-[^\"]*\",\\n", "");
    }

    @Test
    void refusesTensorTwiceInTheMap() throws IOException {
        change("\"" + TENSOR + "\"", "\"" + TENSOR + "\": \"" + FIRST + "\", \"" + TENSOR + "\"");
        assertRefused(model, Reason.DUPLICATE, TENSOR);
    }

    @Test
    void refusesTensorInTheWrongShard() throws IOException {
        change("\"" + TENSOR + "\": \"" + FIRST + "\"", "\"" + TENSOR + "\": \"" + SECOND + "\"");
        assertRefused(model, Reason.MISSING, TENSOR);
    }

    @Test
    void refusesTensorThatIsNotInTheMap() throws IOException {
        change("\"" + TENSOR + "\": \"" + FIRST + "\",", "");
        assertRefused(model, Reason.MISSING, TENSOR);
    }

    static List<Arguments> indexes() {
        return List.of(
                arguments("[]", Reason.CORRUPT),
                arguments("", Reason.CORRUPT),
                arguments("{}", Reason.CORRUPT),
                arguments("{\"weight_map\": []}", Reason.CORRUPT),
                arguments("{\"weight_map\": {\"a\": 1}}", Reason.CORRUPT),
                arguments("{\"weight_map\": {\"a\": null}}", Reason.CORRUPT),
                arguments("{\"weight_map\": {}}", Reason.MISSING),
                arguments("{\"weight_map\": " + "[".repeat(100_000), Reason.LIMIT));
    }

    @ParameterizedTest
    @MethodSource("indexes")
    void refusesIndexes(String text, Reason reason) throws IOException {
        Files.writeString(index, text);
        assertRefused(model, reason, model.toString());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4096})
    void refusesLastShardThatWasCut(int missing) throws IOException {
        Path shard = model.resolve(SECOND);
        byte[] bytes = Files.readAllBytes(shard);
        Files.write(shard, Arrays.copyOf(bytes, bytes.length - missing));
        assertRefused(model, Reason.TRUNCATED, SECOND);
    }

    @Test
    void refusesDirectoryWithoutWeights() throws IOException {
        Files.delete(index);
        assertRefused(model, Reason.MISSING, "model.safetensors");
    }

    @Test
    void refusesDirectoryWithoutConfig() throws IOException {
        Files.delete(model.resolve("config.json"));
        assertRefused(model, Reason.MISSING, "config.json");
    }

    @Test
    void refusesNothing() {
        assertRefused(temp.resolve("nothing"), Reason.MISSING, "nothing");
    }
}
