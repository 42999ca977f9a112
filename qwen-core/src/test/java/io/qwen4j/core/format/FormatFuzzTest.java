package io.qwen4j.core.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.testing.GgufBytes;
import io.qwen4j.core.testing.PackedCheckpoints;
import io.qwen4j.core.testing.SafetensorsBuilder;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Random damage: whatever the bytes are, a model opens or is refused with a typed error, in bounded memory, and leaves no file open. */
class FormatFuzzTest {
    /** The seed of a failed run goes here to repeat it. */
    private static final long SEED = System.nanoTime();

    /** Time for each kind of file; a longer campaign sets the property. */
    private static final long MILLIS = Long.getLong("fuzz.millis", 2000);
    private static final long MEMORY = 64L << 20;
    private static final QwenConfig SMALL =
            new QwenConfig("qwen2", 1, 32, 2, 1, 16, 32, 64, true, 1e-6f, 64, new QwenConfig.Rope(10000, null));
    private static final QwenConfig EXPERTS = SMALL.with(new QwenConfig.Experts(3, 2, 32, 64, true, 1, Set.of()));
    private static final long[] BOUNDARIES = {
        0, 1, 2, 31, 32, 33, 255, 256, 65535, 65536, Integer.MAX_VALUE, 1L << 31, 0xffffffffL, 1L << 32, 1L << 40, 1L << 62, Long.MAX_VALUE,
        Long.MIN_VALUE, -1, -32
    };
    private static final List<String> WORDS = List.of(
            "-1", "1.5", "1e3", "null", "true", "NaN", "\"\"", "[]", "{}", "[", "{", "\"", "\\", "\\u0000", "9223372036854775807",
            "18446744073709551616", "9".repeat(400), "../x", "/", ",", ":", "}", "]", "\u0000", "é");

    @TempDir
    Path temp;

    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    @Test
    void safetensorsHeader() throws IOException {
        Path model = TinyCheckpoints.directory(temp.resolve("m"), SMALL, WeightType.BF16, 1);
        Path file = model.resolve("model.safetensors");
        byte[] good = Files.readAllBytes(file);
        int header = 8 + (int) ByteBuffer.wrap(good).order(ByteOrder.LITTLE_ENDIAN).getLong();
        fuzz(model, file, good, header);
    }

    @Test
    void safetensorsJson() throws IOException {
        Path model = TinyCheckpoints.directory(temp.resolve("m"), SMALL, WeightType.BF16, 1);
        Path file = model.resolve("model.safetensors");
        SafetensorsBuilder good = TinyCheckpoints.safetensors(SMALL, WeightType.BF16, 1);
        Random random = random("safetensors JSON");
        byte[] header = good.header().getBytes(StandardCharsets.UTF_8);
        for (long end = end(); System.currentTimeMillis() < end; ) {
            byte[] damaged = damage(random, header, header.length);
            SafetensorsBuilder.write(file, damaged, good.data());
            check(model, damaged);
        }
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    void config() throws IOException {
        Path model = TinyCheckpoints.directory(temp.resolve("m"), SMALL, WeightType.BF16, 1);
        Path file = model.resolve("config.json");
        Files.writeString(
                file,
                Files.readString(file)
                        .replaceFirst(
                                "\\{",
                                "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 16},"
                                        + "\"layer_types\": [\"full_attention\"], \"sliding_window\": 64, \"max_window_layers\": 1,"));
        byte[] good = Files.readAllBytes(file);
        fuzz(model, file, good, good.length);
    }

    @Test
    void configWithExperts() throws IOException {
        Path model = TinyCheckpoints.directory(temp.resolve("m"), EXPERTS, WeightType.BF16, 1);
        Path file = model.resolve("config.json");
        byte[] good = Files.readAllBytes(file);
        fuzz(model, file, good, good.length);
    }

    @Test
    void ggufWithExperts() throws IOException {
        Path file = temp.resolve("experts.gguf");
        GgufBytes good = GgufBytes.decoder(EXPERTS, WeightType.Q8_0);
        good.write(file);
        fuzz(file, file, Files.readAllBytes(file), good.header().length);
    }

    @Test
    void quantizedConfig() throws IOException {
        var form = new PackedCheckpoints.Form(false, 4, 32, 1, true, false, false);
        Path model = PackedCheckpoints.write(temp.resolve("m"), SMALL, form, 1);
        Path file = model.resolve("config.json");
        byte[] good = Files.readAllBytes(file);
        // Damage of the rest of the file is tried elsewhere.
        fuzz(model, file, good, new String(good, StandardCharsets.UTF_8).indexOf('}') + 1);
    }

    @Test
    void quantizedTensors() throws IOException {
        var form = new PackedCheckpoints.Form(true, 4, 32, 0, false, false, false);
        Path model = PackedCheckpoints.write(temp.resolve("m"), SMALL, form, 1);
        Path file = model.resolve("model.safetensors");
        SafetensorsBuilder good = PackedCheckpoints.packed(SMALL, form, 1);
        Random random = random("quantized tensors");
        byte[] header = good.header().getBytes(StandardCharsets.UTF_8);
        for (long end = end(); System.currentTimeMillis() < end; ) {
            byte[] damaged = damage(random, header, header.length);
            SafetensorsBuilder.write(file, damaged, good.data());
            check(model, damaged);
        }
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    void groupIndex() throws IOException {
        var form = new PackedCheckpoints.Form(false, 4, 32, 1, true, false, false);
        Path model = PackedCheckpoints.write(temp.resolve("m"), SMALL, form, 1);
        Path file = model.resolve("model.safetensors");
        SafetensorsBuilder good = PackedCheckpoints.packed(SMALL, form, 1);
        byte[] header = good.header().getBytes(StandardCharsets.UTF_8);
        byte[] data = good.data();
        Random random = random("group index");
        for (long end = end(); System.currentTimeMillis() < end; ) {
            byte[] damaged = data.clone();
            for (int i = random.nextInt(200); i >= 0; i--) {
                number(damaged, random.nextInt(damaged.length), 4, BOUNDARIES[random.nextInt(BOUNDARIES.length)]);
            }
            SafetensorsBuilder.write(file, header, damaged);
            check(model, damaged);
        }
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    void index() throws IOException {
        Path model = TinyCheckpoints.directory(temp.resolve("m"), SMALL, WeightType.BF16, 1);
        Files.move(model.resolve("model.safetensors"), model.resolve("a"));
        Path file = model.resolve("model.safetensors.index.json");
        StringBuilder text = new StringBuilder("{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
        TinyCheckpoints.safetensors(SMALL, WeightType.BF16, 1)
                .entries()
                .keySet()
                .forEach(n -> text.append("\"").append(n).append("\": \"a\","));
        text.setLength(text.length() - 1);
        Files.writeString(file, text + "}}");
        CheckpointReader.open(model, ModelLimits.DEFAULT).close();
        byte[] good = Files.readAllBytes(file);
        fuzz(model, file, good, good.length);
    }

    @Test
    void sparseBudgets() throws IOException {
        Path file = temp.resolve(SparseBudgetsFile.NAME);
        SparseBudgetsFile.write(SparseBudgets.uniform(3, 4, 1000, 6096), file);
        byte[] good = Files.readAllBytes(file);
        Random random = random(SparseBudgetsFile.NAME);
        for (long end = end(); System.currentTimeMillis() < end; ) {
            byte[] damaged = damage(random, good, good.length);
            Files.write(file, damaged);
            check(damaged, () -> {
                SparseBudgets read = SparseBudgetsFile.read(file, 3, 4);
                assertTrue(read.mostColumns() <= 1 << 24 && read.mostDiagonals() <= 1 << 24);
            });
        }
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    void ggufHeader() throws IOException {
        Path file = temp.resolve("m.gguf");
        byte[] good = gguf(file);
        fuzz(file, file, good, headerLength());
    }

    @Test
    void everyTruncationOfHeaders() throws IOException {
        Path file = temp.resolve("m.gguf");
        gguf(file);
        cut(file, file, headerLength());
        Path model = TinyCheckpoints.directory(temp.resolve("m"), SMALL, WeightType.BF16, 1);
        cut(model, model.resolve("model.safetensors"), safetensorsHeaderLength());
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    private static void cut(Path model, Path file, int header) throws IOException {
        try (var out = new RandomAccessFile(file.toFile(), "rw")) {
            for (int length = header - 1; length >= 0; length--) {
                out.setLength(length);
                assertThrows(ModelFileException.class, () -> CheckpointReader.open(model, ModelLimits.DEFAULT));
            }
        }
    }

    private static int safetensorsHeaderLength() {
        return 8 + TinyCheckpoints.safetensors(SMALL, WeightType.BF16, 1).header().length();
    }

    @Test
    void bitsOfEveryHeaderByte() throws IOException {
        Path file = temp.resolve("m.gguf");
        gguf(file);
        flip(file, file, headerLength());
        Path model = TinyCheckpoints.directory(temp.resolve("m"), SMALL, WeightType.BF16, 1);
        flip(model, model.resolve("model.safetensors"), safetensorsHeaderLength());
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    private void flip(Path model, Path file, int header) throws IOException {
        byte[] good = Files.readAllBytes(file);
        try (var out = new RandomAccessFile(file.toFile(), "rw")) {
            for (int i = 0; i < header; i++) {
                for (int bit : new int[] {0, 5, 7}) { // the least, the case of letters, the sign
                    out.seek(i);
                    out.write(good[i] ^ 1 << bit);
                    check(model, new byte[] {(byte) i, (byte) bit});
                }
                out.seek(i);
                out.write(good[i]);
            }
        }
        CheckpointReader.open(model, ModelLimits.DEFAULT).close();
    }

    private static GgufBytes builder() {
        GgufBytes b = GgufBytes.decoder(SMALL, WeightType.Q4_0);
        b.u32("general.alignment", 32);
        b.strings("tokenizer.ggml.tokens", IntStream.range(0, 64).mapToObj(i -> "t" + i).toList());
        b.array("tokenizer.ggml.token_type", GgufBytes.INT32, 64, new byte[256]);
        b.strings("tokenizer.ggml.merges", List.of("a b"));
        b.u32("tokenizer.ggml.eos_token_id", 3);
        return b;
    }

    private static int headerLength() {
        return builder().header().length;
    }

    private static byte[] gguf(Path file) throws IOException {
        builder().write(file);
        CheckpointReader.open(file, ModelLimits.DEFAULT).close();
        return Files.readAllBytes(file);
    }

    private void fuzz(Path model, Path file, byte[] good, int header) throws IOException {
        Random random = random(file.getFileName().toString());
        for (long end = end(); System.currentTimeMillis() < end; ) {
            byte[] damaged = damage(random, good, header);
            Files.write(file, damaged);
            check(model, damaged);
        }
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    private static long end() {
        return System.currentTimeMillis() + MILLIS;
    }

    private static Random random(String target) {
        System.out.println("fuzzing " + target + " with seed " + SEED);
        return new Random(SEED);
    }

    private void check(Path model, byte[] damaged) {
        check(damaged, () -> {
            try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
                for (String name : c.tensorNames()) {
                    c.tensor(name).ifPresent(TinyCheckpoints::bytes);
                }
                c.describe();
            }
        });
    }

    private void check(byte[] damaged, Runnable open) {
        long before = threads.getCurrentThreadAllocatedBytes();
        try {
            open.run();
        } catch (ModelFileException e) {
            assertTrue(e.getMessage().length() < 2000);
        } catch (RuntimeException | Error e) {
            throw new AssertionError("seed " + SEED + ", bytes: " + new String(damaged, StandardCharsets.ISO_8859_1), e);
        }
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertTrue(allocated < MEMORY, "seed " + SEED + ": allocated " + allocated + " bytes");
    }

    /** One to three changes within the header. */
    private static byte[] damage(Random random, byte[] good, int header) {
        byte[] bytes = good.clone();
        for (int n = 1 + random.nextInt(3); n > 0; n--) {
            int at = random.nextInt(Math.min(header, bytes.length));
            switch (random.nextInt(8)) {
                case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
                case 1 -> bytes[at] = (byte) random.nextInt(256);
                case 2 -> number(bytes, at, 4, BOUNDARIES[random.nextInt(BOUNDARIES.length)]);
                case 3 -> number(bytes, at, 8, BOUNDARIES[random.nextInt(BOUNDARIES.length)]);
                case 4 -> bytes = splice(bytes, at, 0, WORDS.get(random.nextInt(WORDS.size())).getBytes(StandardCharsets.UTF_8));
                case 5 -> bytes = splice(
                        bytes, at, random.nextInt(12), WORDS.get(random.nextInt(WORDS.size())).getBytes(StandardCharsets.UTF_8));
                case 6 -> bytes = splice(bytes, at, random.nextInt(40), new byte[0]);
                default -> {
                    int from = random.nextInt(Math.min(header, bytes.length));
                    bytes = splice(bytes, at, 0, Arrays.copyOfRange(bytes, from, Math.min(bytes.length, from + random.nextInt(100))));
                }
            }
        }
        return bytes;
    }

    private static void number(byte[] bytes, int at, int size, long value) {
        for (int i = 0; i < size && at + i < bytes.length; i++) {
            bytes[at + i] = (byte) (value >>> 8 * i);
        }
    }

    private static byte[] splice(byte[] bytes, int at, int remove, byte[] insert) {
        int end = Math.min(bytes.length, at + remove);
        byte[] out = Arrays.copyOf(bytes, bytes.length - (end - at) + insert.length);
        System.arraycopy(insert, 0, out, at, insert.length);
        System.arraycopy(bytes, end, out, at + insert.length, bytes.length - end);
        return out;
    }
}
