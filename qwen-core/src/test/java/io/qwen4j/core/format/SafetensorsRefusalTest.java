package io.qwen4j.core.format;

import static io.qwen4j.core.format.Refusals.assertRefused;
import static io.qwen4j.core.testing.SafetensorsBuilder.entry;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.testing.SafetensorsBuilder;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Damaged safetensors files, and tensors that do not fit the configuration. */
class SafetensorsRefusalTest {
    private static final String EMBEDDING = "model.embed_tokens.weight";
    private static final String NORM = "model.layers.0.input_layernorm.weight";
    private static final String QUERY = "model.layers.1.self_attn.q_proj.weight";

    @TempDir
    Path temp;

    private Path model;
    private Path file;
    private SafetensorsBuilder good;

    @BeforeEach
    void writeGoodModel() {
        model = TinyCheckpoints.directory(temp.resolve("model"), TinyCheckpoints.config(true), WeightType.BF16, 3);
        file = model.resolve("model.safetensors");
        good = TinyCheckpoints.safetensors(TinyCheckpoints.config(true), WeightType.BF16, 3);
    }

    @Test
    void opensTheGoodModel() {
        CheckpointReader.open(model, ModelLimits.DEFAULT).close();
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7, 8})
    void refusesShortFiles(int length) throws IOException {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 2);
        if (length == 8) {
            bytes = little(300).array();
        }
        Files.write(file, bytes);
        assertRefused(model, Reason.TRUNCATED, file.toString());
    }

    static List<Arguments> headerLengths() {
        return List.of(
                arguments(0L, Reason.CORRUPT),
                arguments(1L, Reason.CORRUPT),
                arguments(Long.MIN_VALUE, Reason.LIMIT),
                arguments(-1L, Reason.LIMIT),
                arguments(1L << 31, Reason.LIMIT),
                arguments(100_000_001L, Reason.LIMIT));
    }

    @ParameterizedTest
    @MethodSource("headerLengths")
    void refusesHeaderLengths(long length, Reason reason) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(0, length);
        Files.write(file, bytes);
        assertRefused(model, reason, Long.toUnsignedString(length));
    }

    @Test
    void refusesHeaderThatDoesNotFit() throws IOException {
        long length = Files.size(file) - 7;
        overwrite(0, little(length).array());
        assertRefused(model, Reason.TRUNCATED, String.valueOf(length));
    }

    @Test
    void refusesHugeHeaderInSparseFile() throws IOException {
        Files.delete(file);
        try (var sparse = new RandomAccessFile(file.toFile(), "rw")) {
            sparse.write(little(100_000_001).array());
            sparse.setLength(200_000_000);
        }
        assertRefused(model, Reason.LIMIT, "100000001", 1 << 20);
    }

    @Test
    void readsHeaderOfZerosWithoutMemoryOfItsSize() throws IOException {
        Files.delete(file);
        try (var sparse = new RandomAccessFile(file.toFile(), "rw")) {
            sparse.write(little(100_000_000).array());
            sparse.write('{');
            sparse.setLength(200_000_000);
        }
        assertRefused(model, Reason.CORRUPT, "not JSON", 4 << 20);
    }

    static List<Arguments> headers() {
        byte[] overlong = "{\"a\u00c1\u0081\":1}".getBytes(StandardCharsets.ISO_8859_1);
        byte[] notUtf8 = "{\"a\u00ff\":1}".getBytes(StandardCharsets.ISO_8859_1);
        return List.of(
                arguments("not UTF-8", notUtf8, Reason.CORRUPT),
                arguments("overlong", overlong, Reason.CORRUPT),
                arguments("UTF-16", "{}".getBytes(StandardCharsets.UTF_16LE), Reason.CORRUPT),
                arguments("surrogate", new byte[] {'{', '"', (byte) 0xed, (byte) 0xa0, (byte) 0x80, '"', '}'}, Reason.CORRUPT),
                arguments("NUL", "{\"a\u0000\":{}}".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("NUL behind", "{}\u0000".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("BOM", "\ufeff{}".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("no JSON", "hello world".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("cut", "{\"a\":".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("trailing junk", "{} x".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("second object", "{}{}".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("comment", "{}/**/".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("list", "[]".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("string", "\"a\"".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("deep list", ("{\"a\":" + "[".repeat(100_000)).getBytes(StandardCharsets.UTF_8), Reason.LIMIT),
                arguments("deep list at the top", "[".repeat(100_000).getBytes(StandardCharsets.UTF_8), Reason.LIMIT),
                arguments("deep object", "{\"a\":".repeat(100_000).getBytes(StandardCharsets.UTF_8), Reason.LIMIT),
                arguments("long name", ("{\"" + "a".repeat(1_000_000) + "\":{}}").getBytes(StandardCharsets.UTF_8), Reason.LIMIT),
                arguments("metadata no object", "{\"__metadata__\":1}".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("metadata number", "{\"__metadata__\":{\"format\":1}}".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("metadata null", "{\"__metadata__\":{\"format\":null}}".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments("metadata object", "{\"__metadata__\":{\"format\":{}}}".getBytes(StandardCharsets.UTF_8), Reason.CORRUPT),
                arguments(
                        "metadata twice",
                        "{\"__metadata__\":{},\"__metadata__\":{}}".getBytes(StandardCharsets.UTF_8),
                        Reason.DUPLICATE),
                arguments(
                        "metadata key twice",
                        "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}".getBytes(StandardCharsets.UTF_8),
                        Reason.DUPLICATE));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("headers")
    void refusesHeaders(String name, byte[] header, Reason reason) {
        SafetensorsBuilder.write(file, header, new byte[0]);
        assertRefused(model, reason, file.toString());
    }

    @Test
    void acceptsSpaceAroundTheHeader() {
        SafetensorsBuilder.write(file, ("  " + good.header() + "   ").getBytes(StandardCharsets.UTF_8), good.data());
        CheckpointReader.open(model, ModelLimits.DEFAULT).close();
    }

    /** The embedding is [96, 64] in BF16, at 0 to 12288, before the norm [64] in F32 at 12288 to 12544. */
    static List<Arguments> entries() {
        return List.of(
                // Offsets that are no unsigned integers.
                arguments("offset -1", EMBEDDING, offsets("-1,12288"), Reason.CORRUPT),
                arguments("offset 1.5", EMBEDDING, offsets("1.5,12288"), Reason.CORRUPT),
                arguments("offset 1e3", EMBEDDING, offsets("0,1e3"), Reason.CORRUPT),
                arguments("offset 10^400", EMBEDDING, offsets("0,1" + "0".repeat(400)), Reason.CORRUPT),
                arguments("offset text", EMBEDDING, offsets("\"0\",12288"), Reason.CORRUPT),
                arguments("offset null", EMBEDDING, offsets("null,12288"), Reason.CORRUPT),
                arguments("offset 2^63", EMBEDDING, offsets("0,9223372036854775808"), Reason.CORRUPT),
                arguments("offset NaN", EMBEDDING, offsets("0,NaN"), Reason.CORRUPT),
                arguments("one offset", EMBEDDING, offsets("0"), Reason.CORRUPT),
                arguments("three offsets", EMBEDDING, offsets("0,12288,12288"), Reason.CORRUPT),
                arguments("dtype twice", EMBEDDING, with(e -> e.replace("{\"dtype\"", "{\"dtype\":\"F32\",\"dtype\"")), Reason.DUPLICATE),
                arguments("shape twice", EMBEDDING, with(e -> e.replace("\"shape\"", "\"shape\":[96,64],\"shape\"")), Reason.DUPLICATE),
                arguments(
                        "offsets twice",
                        EMBEDDING,
                        with(e -> e.replace("\"data_offsets\"", "\"data_offsets\":[0,12288],\"data_offsets\"")),
                        Reason.DUPLICATE),
                arguments("no dtype", EMBEDDING, with(e -> e.replace("\"dtype\"", "\"type\"")), Reason.CORRUPT),
                arguments("no shape", EMBEDDING, with(e -> e.replace("\"shape\"", "\"form\"")), Reason.CORRUPT),
                arguments("no offsets", EMBEDDING, with(e -> e.replace("\"data_offsets\"", "\"offsets\"")), Reason.CORRUPT),
                arguments("entry number", EMBEDDING, with(e -> "5"), Reason.CORRUPT),
                arguments("dtype number", EMBEDDING, with(e -> e.replace("\"BF16\"", "5")), Reason.CORRUPT),
                arguments("shape text", EMBEDDING, with(e -> e.replace("[96, 64]", "\"96\"")), Reason.CORRUPT),
                arguments("dtype unknown", EMBEDDING, with(e -> e.replace("BF16", "BF15")), Reason.UNSUPPORTED),
                arguments("dtype not run", EMBEDDING, with(e -> e.replace("BF16", "I16")), Reason.UNSUPPORTED),
                arguments("product overflows", EMBEDDING, shape("[4294967296, 4294967296]"), Reason.OVERFLOW),
                arguments("product overflows beside 0", EMBEDDING, shape("[4294967296, 4294967296, 0]"), Reason.OVERFLOW),
                arguments("size overflows", EMBEDDING, shape("[2305843009213693952, 2]"), Reason.OVERFLOW),
                arguments("dimension 2^64", EMBEDDING, shape("[18446744073709551616]"), Reason.OVERFLOW),
                arguments("negative", EMBEDDING, shape("[-96, -64]"), Reason.SHAPE),
                arguments("2^31", EMBEDDING, shape("[2147483648]"), Reason.SHAPE),
                arguments("rank 9", EMBEDDING, shape("[1, 1, 1, 1, 1, 1, 1, 96, 64]"), Reason.SHAPE),
                arguments("rank 3", EMBEDDING, shape("[1, 96, 64]"), Reason.SHAPE),
                arguments("rank 1", EMBEDDING, shape("[6144]"), Reason.SHAPE),
                arguments("zero dimension", EMBEDDING, shape("[0, 64]"), Reason.SHAPE),
                arguments("fraction", EMBEDDING, shape("[96.0, 64]"), Reason.CORRUPT),
                arguments("end before begin", EMBEDDING, offsets("12288,0"), Reason.OFFSET),
                arguments("end outside", EMBEDDING, offsets("0,99999999"), Reason.OFFSET),
                arguments("overlap", NORM, offsets("12160,12416"), Reason.OFFSET),
                arguments("hole", NORM, offsets("12290,12546"), Reason.OFFSET),
                arguments("far away", "model.norm.weight", offsets("9223372036854775000,9223372036854775256"), Reason.OFFSET),
                arguments("too many bytes", EMBEDDING, shape("[95, 64]"), Reason.SHAPE),
                arguments("too few bytes", EMBEDDING, shape("[97, 64]"), Reason.SHAPE),
                arguments("other size", EMBEDDING, with(e -> e.replace("BF16", "F32")), Reason.SHAPE),
                arguments("norm as matrix", NORM, with(e -> e.replace("[64]", "[1, 64]")), Reason.SHAPE));
    }

    private static UnaryOperator<String> with(UnaryOperator<String> change) {
        return change;
    }

    private static UnaryOperator<String> offsets(String numbers) {
        return e -> e.replaceAll("\"data_offsets\":\\[.*?\\]", "\"data_offsets\":[" + numbers + "]");
    }

    private static UnaryOperator<String> shape(String shape) {
        return e -> e.replaceAll("\"shape\":\\[.*?\\]", "\"shape\":" + shape);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("entries")
    void refusesEntries(String name, String tensor, UnaryOperator<String> change, Reason reason) {
        String before = good.entries().get(tensor);
        String after = change.apply(before);
        assertEquals(false, after.equals(before));
        good.entries().put(tensor, after);
        good.write(file);
        assertRefused(model, reason, tensor);
    }

    @ParameterizedTest
    @ValueSource(strings = {"I16", "BF15"})
    void listsTheTypesThatRun(String dtype) {
        good.entries().computeIfPresent(EMBEDDING, (n, e) -> e.replace("BF16", dtype));
        good.write(file);
        assertRefused(model, Reason.UNSUPPORTED, "F16, BF16, F32");
    }

    @Test
    void refusesScalarForNorm() {
        var tensors = TinyCheckpoints.safetensors(TinyCheckpoints.config(true), WeightType.BF16, 3);
        tensors.entries().remove("model.norm.weight");
        int end = tensors.data().length - 256;
        tensors.entries().put("model.norm.weight", entry("BF16", "[]", end, end + 2));
        SafetensorsBuilder.write(
                file, tensors.header().getBytes(StandardCharsets.UTF_8), Arrays.copyOf(tensors.data(), end + 2));
        assertRefused(model, Reason.SHAPE, "model.norm.weight");
    }

    @Test
    void refusesDuplicateTensor() {
        String header = good.header();
        String twice = header.substring(0, header.length() - 1) + ",\"" + NORM + "\":" + good.entries().get(NORM) + "}";
        SafetensorsBuilder.write(file, twice.getBytes(StandardCharsets.UTF_8), good.data());
        assertRefused(model, Reason.DUPLICATE, NORM);
    }

    @Test
    void refusesEscapedDuplicate() {
        String header = good.header();
        String twice = header.substring(0, header.length() - 1) + ",\"\\u006d" + NORM.substring(1) + "\":" + good.entries().get(NORM) + "}";
        SafetensorsBuilder.write(file, twice.getBytes(StandardCharsets.UTF_8), good.data());
        assertRefused(model, Reason.DUPLICATE, NORM);
    }

    @Test
    void refusesAMillionTensors() throws IOException {
        Path header = temp.resolve("header");
        try (BufferedWriter out = Files.newBufferedWriter(header)) {
            out.write("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
            for (int i = 0; i < 1_000_000; i++) {
                out.write(",\"a" + i + "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
            }
            out.write("}");
        }
        try (var out = Files.newOutputStream(file)) {
            out.write(little(Files.size(header)).array());
            Files.copy(header, out);
        }
        // 100,000 tensors are read before the limit is met.
        assertRefused(model, Reason.LIMIT, "more than 100000 tensors", 256L << 20);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4096})
    void refusesFilesThatWereCut(int missing) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length - missing));
        assertRefused(model, Reason.TRUNCATED, "the tensors need");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4096})
    void refusesTrailingBytes(int more) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length + more));
        assertRefused(model, Reason.OFFSET, "the tensors end at");
    }

    @ParameterizedTest
    @ValueSource(strings = {QUERY, "model.layers.1.self_attn.k_proj.bias", EMBEDDING, "model.norm.weight"})
    void refusesMissingTensors(String name) {
        good.entries().put("other", good.entries().get(name));
        good.entries().remove(name);
        good.write(file);
        assertRefused(model, Reason.MISSING, name);
    }

    @Test
    void refusesTransposedMatrix() {
        String name = "model.layers.0.mlp.gate_proj.weight";
        good.entries().computeIfPresent(name, (n, e) -> e.replace("[96, 64]", "[64, 96]"));
        good.write(file);
        assertRefused(model, Reason.SHAPE, name + " has shape [64, 96], the configuration requires [96, 64]");
    }

    @Test
    void refusesKeysOfAnotherSize() throws IOException {
        Path config = model.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 1"));
        assertRefused(
                model, Reason.SHAPE, "model.layers.0.self_attn.k_proj.weight has shape [32, 64], the configuration requires [16, 64]");
    }

    @Test
    void refusesMissingHead() throws IOException {
        Path config = model.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false"));
        assertRefused(model, Reason.MISSING, "lm_head.weight");
    }

    @Test
    void acceptsHeadBesideTiedEmbedding() {
        good.add("lm_head.weight", "BF16", new long[] {96, 64}, new byte[96 * 64 * 2]);
        good.write(file);
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            assertEquals(true, c.config().tiedHead());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"BF16 [64, 96]", "I16 [96, 64]", "BF16 [6144]"})
    void refusesBrokenHeadBesideTiedEmbedding(String head) {
        int begin = good.data().length;
        good.add("lm_head.weight", "BF16", new long[] {96, 64}, new byte[96 * 64 * 2]);
        String[] parts = head.split(" ", 2);
        good.entries().put("lm_head.weight", entry(parts[0], parts[1], begin, begin + 96 * 64 * 2));
        good.write(file);
        assertRefused(model, Reason.CORRUPT, "lm_head.weight");
    }

    @Test
    void ignoresTensorsItDoesNotKnow() {
        good.add("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", new long[] {8}, new byte[32]);
        good.add("mask", "BOOL", new long[] {1, 1, 3}, new byte[3]);
        good.add("scalar", "I64", new long[] {}, new byte[8]);
        good.write(file);
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            assertEquals(true, c.tensor("mask").isEmpty());
            assertEquals(true, c.tensorNames().contains("mask"));
            assertEquals(
                    true, c.describe().tensors().stream().anyMatch(t -> t.name().equals("mask") && t.type().equals("BOOL")));
        }
    }

    private static ByteBuffer little(long value) {
        return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, value);
    }

    private void overwrite(long position, byte[] bytes) throws IOException {
        try (var out = new RandomAccessFile(file.toFile(), "rw")) {
            out.seek(position);
            out.write(bytes);
        }
    }
}
