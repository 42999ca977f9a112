package io.qwen4j.core.format;

import static io.qwen4j.core.format.Refusals.assertRefused;
import static io.qwen4j.core.testing.GgufBytes.little;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.testing.GgufBytes;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Damaged GGUF files, and metadata that contradicts them. */
class GgufRefusalTest {
    private static final String QUERY = "blk.1.attn_q.weight";
    private static final String LAST = "output_norm.weight";
    private static final int ROWS = 96;

    @TempDir
    Path temp;

    private static GgufBytes good() {
        return GgufBytes.decoder(TinyCheckpoints.config(true), WeightType.Q8_0);
    }

    private void refuse(Consumer<GgufBytes> damage, Reason reason, String item) {
        GgufBytes bytes = good();
        damage.accept(bytes);
        assertRefused(bytes.write(temp.resolve("m.gguf")), reason, item);
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void opensGoodFiles(int version) {
        GgufBytes bytes = good();
        bytes.version = version;
        bytes.tensor("rope_freqs.weight", WeightType.F32, 8);
        try (Checkpoint c = CheckpointReader.open(bytes.write(temp.resolve("m.gguf")), ModelLimits.DEFAULT)) {
            assertEquals(TinyCheckpoints.config(true), c.config());
            assertEquals("gguf", c.describe().format());
        }
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    void readsUntiedHeadFromThePresenceOfItsTensor() {
        GgufBytes bytes = GgufBytes.decoder(TinyCheckpoints.config(false), WeightType.Q4_0);
        try (Checkpoint c = CheckpointReader.open(bytes.write(temp.resolve("m.gguf")), ModelLimits.DEFAULT)) {
            assertEquals(TinyCheckpoints.config(false), c.config());
        }
    }

    static List<Arguments> fields() {
        return List.of(
                damage("magic", b -> b.magic = 0x46554748, Reason.CORRUPT, "GGUF"),
                damage("GGJT", b -> b.magic = 0x67676a74, Reason.CORRUPT, "GGUF"),
                damage("version 0", b -> b.version = 0, Reason.TOO_OLD, "version 0"),
                damage("version 1", b -> b.version = 1, Reason.TOO_OLD, "version 1"),
                damage("version 4", b -> b.version = 4, Reason.TOO_NEW, "version 4"),
                damage("version -1", b -> b.version = -1, Reason.TOO_NEW, "version 4294967295"),
                damage("big-endian", b -> b.version = 0x03000000, Reason.UNSUPPORTED, "big-endian"),
                damage("keys 2^32-1", b -> b.keyCount = 0xffffffffL, Reason.LIMIT, "4294967295 metadata keys"),
                damage("keys 2^63", b -> b.keyCount = 1L << 63, Reason.LIMIT, "9223372036854775808 metadata keys"),
                damage("keys 2^64-1", b -> b.keyCount = -1L, Reason.LIMIT, "18446744073709551615 metadata keys"),
                damage("tensors 2^32-1", b -> b.tensorCount = 0xffffffffL, Reason.LIMIT, "4294967295 tensors"),
                damage("tensors 2^63", b -> b.tensorCount = 1L << 63, Reason.LIMIT, "9223372036854775808 tensors"),
                damage("tensors 2^64-1", b -> b.tensorCount = -1L, Reason.LIMIT, "18446744073709551615 tensors"),
                damage("tensors beyond the file", b -> b.tensorCount = 50_000L, Reason.LIMIT, "50000 tensors"),
                damage("tensors beyond the limit", b -> b.tensorCount = 100_001L, Reason.LIMIT, "100001 tensors"),
                damage("key length 2^64-1", b -> little8(b.keys.get(1), -1), Reason.CORRUPT, "metadata key"),
                damage("key length 65536", b -> little8(b.keys.get(1), 65536), Reason.CORRUPT, "metadata key"),
                damage("empty key", b -> b.u32("", 1), Reason.CORRUPT, "metadata key"),
                damage("long key", b -> b.u32("k".repeat(1_000_000), 1), Reason.CORRUPT, "1000000 bytes"),
                damage("type 13", b -> b.key("a", 13, new byte[8]), Reason.CORRUPT, "type 13"),
                damage("type -1", b -> b.key("a", -1, new byte[8]), Reason.CORRUPT, "type 4294967295"),
                damage("bool 2", b -> b.key("a", GgufBytes.BOOL, new byte[] {2}), Reason.CORRUPT, "boolean 2"),
                damage("bool 2 in array", b -> b.array("a", GgufBytes.BOOL, 2, new byte[] {0, 2}), Reason.CORRUPT, "boolean 2"),
                damage("array of arrays", b -> b.array("a", GgufBytes.ARRAY, 1, new byte[12]), Reason.UNSUPPORTED, "array of arrays"),
                damage("array of unknown", b -> b.array("a", 99, 1, new byte[8]), Reason.CORRUPT, "type 99"),
                damage("array 2^40", b -> b.array("a", GgufBytes.UINT8, 1L << 40, new byte[4]), Reason.LIMIT, "1099511627776"),
                damage("strings 2^40", b -> b.array("a", GgufBytes.STRING, 1L << 40, new byte[4]), Reason.LIMIT, "1099511627776"),
                damage("array 2^64-1", b -> b.array("a", GgufBytes.UINT8, -1, new byte[4]), Reason.LIMIT, "18446744073709551615"),
                damage("control characters", b -> List.of(1, 2).forEach(i -> b.u32("\u0001".repeat(60_000), i)), Reason.DUPLICATE, "\\u0001"),
                damage("key twice", b -> b.u32("qwen2.block_count", 2), Reason.DUPLICATE, "qwen2.block_count"),
                damage("tensor twice", b -> b.tensor(QUERY, WeightType.F32, 8), Reason.DUPLICATE, QUERY),
                damage("name of 65", b -> b.tensor("a".repeat(65), WeightType.F32, 8), Reason.LIMIT, "65 bytes"),
                damage("name of 2^64-1", b -> b.tensor(QUERY).nameLength = -1L, Reason.LIMIT, "18446744073709551615 bytes"),
                damage("empty name", b -> b.tensor("", WeightType.F32, 8), Reason.CORRUPT, "empty name"),
                damage("dimensions 0", b -> b.tensor(QUERY).dimensions = 0, Reason.SHAPE, QUERY),
                damage("dimensions 5", b -> b.tensor(QUERY).dimensions = 5, Reason.SHAPE, QUERY),
                damage("dimensions 2^31", b -> b.tensor(QUERY).dimensions = 1 << 31, Reason.SHAPE, QUERY),
                damage("dimension 0", b -> b.tensor(QUERY).shape[1] = 0, Reason.OVERFLOW, QUERY),
                damage("dimension -1", b -> b.tensor(QUERY).shape[1] = -1, Reason.OVERFLOW, QUERY),
                damage("dimension 2^42+1", b -> b.tensor(QUERY).shape[1] = (1L << 42) + 1, Reason.OVERFLOW, QUERY),
                damage("product", b -> huge(b, WeightType.F32, 1 << 30, 1 << 30, 1 << 30), Reason.OVERFLOW, QUERY),
                damage("size", b -> huge(b, WeightType.F32, 1 << 30, 1 << 30, 4), Reason.OVERFLOW, QUERY),
                damage("size when multiplied first", b -> huge(b, WeightType.Q4_0, 1 << 30, 1 << 30), Reason.OVERFLOW, QUERY),
                damage("sum of sizes", GgufRefusalTest::hugeSum, Reason.OVERFLOW, "sizes of the tensors"),
                damage("half a block", b -> b.tensor(QUERY).shape[0] = 48, Reason.SHAPE, QUERY),
                damage("half a K block", b -> b.tensor(QUERY).type = WeightType.Q4_K.ggmlType(), Reason.SHAPE, QUERY),
                damage("type -1", b -> b.tensor(QUERY).type = -1, Reason.UNSUPPORTED, "Q4_K (12)"),
                damage("type 43", b -> b.tensor(QUERY).type = 43, Reason.UNSUPPORTED, "ggml type 43"),
                damage("removed type", b -> b.tensor(QUERY).type = 4, Reason.UNSUPPORTED, "ggml type 4"),
                damage("type not run", b -> b.tensor(QUERY).type = 16, Reason.UNSUPPORTED, "ggml type 16"),
                damage("alignment 0", b -> b.u32("general.alignment", 0), Reason.CORRUPT, "general.alignment is 0"),
                damage("alignment 13", b -> b.u32("general.alignment", 13), Reason.CORRUPT, "general.alignment is 13"),
                damage("alignment 2^31", b -> b.u32("general.alignment", 1 << 31), Reason.CORRUPT, "general.alignment is 2147483648"),
                damage(
                        "alignment INT32",
                        b -> b.key("general.alignment", GgufBytes.INT32, little(4).putInt(32).array()),
                        Reason.CORRUPT,
                        "general.alignment"),
                damage("alignment 64", b -> b.u32("general.alignment", 1 << 16), Reason.OFFSET, "offset"),
                damage("offset past the end", b -> b.tensor(LAST).offset += 1 << 20, Reason.OFFSET, LAST),
                damage("offset -32", b -> b.tensor(LAST).offset = -32, Reason.OFFSET, LAST),
                damage("overlap", b -> b.tensor(LAST).offset -= 32, Reason.OFFSET, LAST),
                damage("unaligned", b -> b.tensor(LAST).offset += 1, Reason.OFFSET, LAST),
                damage("hole", b -> b.tensor(LAST).offset += 32, Reason.OFFSET, LAST),
                damage("no architecture", b -> b.remove("general.architecture"), Reason.CONFIG, "general.architecture"),
                damage("architecture", b -> replace(b, "general.architecture", "llama"), Reason.UNSUPPORTED, "llama"),
                damage("architecture MoE", b -> replace(b, "general.architecture", "qwen3moe"), Reason.UNSUPPORTED, "qwen2moe"),
                damage("layers 0", b -> replace(b, "qwen2.block_count", 0), Reason.CONFIG, "block_count"),
                damage("layers 513", b -> replace(b, "qwen2.block_count", 513), Reason.CONFIG, "block_count"),
                damage("layers 2^31-1", b -> replace(b, "qwen2.block_count", Integer.MAX_VALUE), Reason.CONFIG, "block_count"),
                damage("layers 3", b -> replace(b, "qwen2.block_count", 3), Reason.MISSING, "blk.2."),
                damage("no layers", b -> b.remove("qwen2.block_count"), Reason.CONFIG, "block_count"),
                damage("layers as text", b -> textFor(b, "qwen2.block_count"), Reason.CORRUPT, "block_count"),
                damage("heads 0", b -> replace(b, "qwen2.attention.head_count", 0), Reason.CONFIG, "head_count"),
                damage("heads 5", b -> replace(b, "qwen2.attention.head_count", 5), Reason.CONFIG, "heads 5"),
                damage("kv heads 0", b -> replace(b, "qwen2.attention.head_count_kv", 0), Reason.CONFIG, "head_count_kv"),
                damage("kv heads 8", b -> replace(b, "qwen2.attention.head_count_kv", 8), Reason.CONFIG, "kv heads"),
                damage("kv heads 3", b -> replace(b, "qwen2.attention.head_count_kv", 3), Reason.CONFIG, "kv heads"),
                damage("kv heads 1", b -> replace(b, "qwen2.attention.head_count_kv", 1), Reason.SHAPE, "blk.0.attn_k.weight"),
                damage("value length", b -> b.u32("qwen2.attention.value_length", 32), Reason.UNSUPPORTED, "value_length"),
                damage("theta 0", b -> replace(b, "qwen2.rope.freq_base", 0f), Reason.CONFIG, "rope_theta"),
                damage("theta -1", b -> replace(b, "qwen2.rope.freq_base", -1f), Reason.CONFIG, "rope_theta"),
                damage("theta NaN", b -> replace(b, "qwen2.rope.freq_base", Float.NaN), Reason.CONFIG, "rope_theta"),
                damage("eps 0", b -> replace(b, "qwen2.attention.layer_norm_rms_epsilon", 0f), Reason.CONFIG, "epsilon"),
                damage("eps NaN", b -> replace(b, "qwen2.attention.layer_norm_rms_epsilon", Float.NaN), Reason.CONFIG, "epsilon"),
                damage("eps -1", b -> replace(b, "qwen2.attention.layer_norm_rms_epsilon", -1f), Reason.CONFIG, "epsilon"),
                damage("context 0", b -> replace(b, "qwen2.context_length", 0), Reason.CONFIG, "context_length"),
                damage("context 2^32-1", b -> replace(b, "qwen2.context_length", -1), Reason.CONFIG, "context_length"),
                damage("vocab_size", b -> b.u32("qwen2.vocab_size", ROWS + 1), Reason.CONFIG, "vocab_size"),
                damage("linear rope", b -> b.f32("qwen2.rope.scaling.factor", 4), Reason.UNSUPPORTED, "linear"),
                damage("old linear rope", b -> b.f32("qwen2.rope.scale_linear", 4), Reason.UNSUPPORTED, "linear"),
                damage("YaRN factor", b -> yarn(b, -4), Reason.CONFIG, "factor of YaRN is -4.0"),
                damage("YaRN length", b -> yarn(b, 4).u32("qwen2.rope.scaling.original_context_length", 0), Reason.CONFIG, "length is 0"),
                damage("YaRN attention", b -> yarn(b, 4).f32("qwen2.rope.scaling.attn_factor", Float.NaN), Reason.CONFIG, "is NaN"),
                damage("YaRN betas", b -> yarn(b, 4).f32("qwen2.rope.scaling.yarn_beta_fast", 0.5f), Reason.CONFIG, "are 0.5 and 1.0"),
                damage("chunks of 1", b -> b.u32("qwen4j.dual_chunk.chunk_size", 1), Reason.CONFIG, "chunk_size is 1, expected 2"),
                damage("no local size", b -> b.u32("qwen4j.dual_chunk.chunk_size", 8), Reason.CONFIG, "qwen4j.dual_chunk.local_size"),
                damage("local size 8", b -> chunks(b, 8, 8), Reason.CONFIG, "local_size is 8, expected 0 to 7"),
                damage("longrope", b -> b.string("qwen2.rope.scaling.type", "longrope"), Reason.UNSUPPORTED, "longrope"),
                damage("tensor missing", b -> b.tensor(QUERY).name = "blk.1.other", Reason.MISSING, QUERY),
                damage("bias missing", b -> b.tensor("blk.0.attn_v.bias").name = "x", Reason.MISSING, "blk.0.attn_v.bias"),
                damage("embedding missing", b -> b.tensor("token_embd.weight").name = "x", Reason.MISSING, "token_embd.weight"),
                damage("transposed", GgufRefusalTest::transpose, Reason.SHAPE, "blk.1.ffn_up.weight"),
                damage("quantized norm", GgufRefusalTest::quantizeNorm, Reason.UNSUPPORTED, LAST),
                damage("token types as UINT8", b -> vocabulary(b, GgufBytes.UINT8, ROWS, ROWS, ROWS), Reason.CORRUPT, "token_type"),
                damage("few token types", b -> vocabulary(b, GgufBytes.INT32, ROWS, ROWS - 1, ROWS), Reason.CORRUPT, "token_type"),
                damage("few scores", b -> vocabulary(b, GgufBytes.INT32, ROWS, ROWS, ROWS - 1), Reason.CORRUPT, "scores"),
                damage("few tokens", b -> vocabulary(b, GgufBytes.INT32, ROWS - 1, ROWS - 1, ROWS - 1), Reason.CONFIG, "tokens"),
                damage(
                        "tokens as numbers",
                        b -> b.array("tokenizer.ggml.tokens", GgufBytes.INT32, 1, new byte[4]),
                        Reason.CORRUPT,
                        "tokens"),
                damage("merges as numbers", GgufRefusalTest::badMerges, Reason.CORRUPT, "merges"),
                damage("eos outside", b -> b.u32("tokenizer.ggml.eos_token_id", ROWS), Reason.CONFIG, "eos_token_id"),
                damage("eos 2^32-1", b -> b.u32("tokenizer.ggml.eos_token_id", -1), Reason.CONFIG, "eos_token_id"),
                damage("top_p", b -> b.f32("general.sampling.top_p", 2), Reason.CONFIG, "general.sampling"));
    }

    private static Arguments damage(String name, Consumer<GgufBytes> damage, Reason reason, String item) {
        return arguments(name, damage, reason, item);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("fields")
    void refuses(String name, Consumer<GgufBytes> damage, Reason reason, String item) {
        refuse(damage, reason, item);
    }

    private static void little8(byte[] key, long length) {
        ByteBuffer.wrap(key).order(java.nio.ByteOrder.LITTLE_ENDIAN).putLong(0, length);
    }

    private static void huge(GgufBytes b, WeightType type, long... shape) {
        b.tensor(QUERY).type = type.ggmlType();
        b.tensor(QUERY).shape = shape;
    }

    private static void hugeSum(GgufBytes b) {
        for (int i = 0; i < 2; i++) {
            GgufBytes.Tensor t = new GgufBytes.Tensor();
            t.name = "huge" + i;
            t.shape = new long[] {Integer.MAX_VALUE, Integer.MAX_VALUE};
            t.type = WeightType.F16.ggmlType();
            b.tensors.add(t);
        }
    }

    private static void replace(GgufBytes b, String key, int value) {
        b.remove(key);
        b.u32(key, value);
    }

    private static void replace(GgufBytes b, String key, float value) {
        b.remove(key);
        b.f32(key, value);
    }

    private static void replace(GgufBytes b, String key, String value) {
        b.remove(key);
        b.string(key, value);
    }

    private static void textFor(GgufBytes b, String key) {
        b.remove(key);
        b.string(key, "2");
    }

    private static void transpose(GgufBytes b) {
        b.tensor("blk.1.ffn_up.weight").shape = new long[] {96, 64};
    }

    private static void quantizeNorm(GgufBytes b) {
        b.tensors.remove(b.tensor(LAST));
        b.dataLength -= 256;
        b.tensor(LAST, WeightType.Q8_0, 64);
    }

    private static void vocabulary(GgufBytes b, int typeOfTypes, int tokens, int types, int scores) {
        b.strings("tokenizer.ggml.tokens", IntStream.range(0, tokens).mapToObj(i -> "t" + i).toList());
        b.array("tokenizer.ggml.token_type", typeOfTypes, types, new byte[types * (typeOfTypes == GgufBytes.UINT8 ? 1 : 4)]);
        b.array("tokenizer.ggml.scores", GgufBytes.FLOAT32, scores, new byte[scores * 4]);
    }

    private static void badMerges(GgufBytes b) {
        vocabulary(b, GgufBytes.INT32, ROWS, ROWS, ROWS);
        b.array("tokenizer.ggml.merges", GgufBytes.INT32, 1, new byte[4]);
    }

    @Test
    void refusesStringOneByteTooLong() throws IOException {
        var bytes = new GgufBytes();
        bytes.string("general.architecture", "qwen2");
        byte[] header = bytes.header();
        // Behind the length of the string, at 24 + 8 + 20 + 4, are 5 bytes of text and the padding.
        int at = 24 + 8 + 20 + 4;
        long left = header.length - at - 8;
        ByteBuffer.wrap(header).order(java.nio.ByteOrder.LITTLE_ENDIAN).putLong(at, left + 1);
        Path file = temp.resolve("m.gguf");
        Files.write(file, header);
        assertRefused(file, Reason.TRUNCATED, (left + 1) + " bytes");
    }

    @Test
    void refusesDuplicateAmong200000Keys() {
        refuse(
                b -> {
                    for (int i = 0; i < 200_000; i++) {
                        b.u32("k" + i, i);
                    }
                    b.u32("k7", 1);
                },
                Reason.DUPLICATE,
                "k7");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4096})
    void refusesFilesThatWereCut(int missing) {
        assertRefused(good().writeCut(temp.resolve("m.gguf"), missing), Reason.TRUNCATED, "the tensors need");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3, 4, 7, 8, 23, 24})
    void refusesShortFiles(int length) throws IOException {
        Path file = temp.resolve("m.gguf");
        Files.write(file, java.util.Arrays.copyOf(good().header(), length));
        assertRefused(file, length < 24 ? Reason.TRUNCATED : Reason.LIMIT, "m.gguf");
    }

    @Test
    void refusesHeaderBeyondTheLimit() {
        // 100,000,000 bytes of one array in a sparse file: read piece by piece until the limit is met.
        GgufBytes bytes = new GgufBytes();
        bytes.array("a", GgufBytes.UINT8, 150_000_000, new byte[4]);
        bytes.dataLength = 200_000_000;
        assertRefused(bytes.write(temp.resolve("m.gguf")), Reason.LIMIT, "the header has more than 100000000 bytes");
    }

    @Test
    void readsSplitFiles() throws IOException {
        writeSplit(3, 3);
        try (Checkpoint c = CheckpointReader.open(part(1, 3), ModelLimits.DEFAULT)) {
            assertEquals(TinyCheckpoints.config(true), c.config());
            assertEquals(4, Refusals.openBelow(temp).size() + 1);
        }
        assertEquals(List.of(), Refusals.openBelow(temp));
    }

    @Test
    void refusesSplitFilesThatAreWrong() throws IOException {
        writeSplit(3, 3);
        assertRefused(part(2, 3), Reason.CONFIG, "open the first file");
        Files.copy(part(2, 3), part(3, 3), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        assertRefused(part(1, 3), Reason.CONFIG, "expected 2 of 3");
        Files.delete(part(3, 3));
        assertRefused(part(1, 3), Reason.MISSING, "00003-of-00003");
        Files.move(part(1, 3), temp.resolve("renamed.gguf"));
        assertRefused(temp.resolve("renamed.gguf"), Reason.MISSING, "00001-of-00003");
    }

    @Test
    void refusesSplitFilesWithOtherTensors() throws IOException {
        writeSplit(3, 4);
        assertRefused(part(1, 3), Reason.CORRUPT, "split.tensors.count");
    }

    private Path part(int no, int count) {
        return temp.resolve(String.format("m-%05d-of-%05d.gguf", no, count));
    }

    private void writeSplit(int count, int extra) {
        GgufBytes all = good();
        int total = all.tensors.size();
        for (int no = 0; no < count; no++) {
            GgufBytes part = new GgufBytes();
            if (no == 0) {
                part.keys.addAll(all.keys);
            }
            part.key("split.no", 2, little(2).putShort((short) no).array());
            part.key("split.count", 2, little(2).putShort((short) count).array());
            part.key("split.tensors.count", GgufBytes.INT32, little(4).putInt(total + extra - count).array());
            for (int i = no * total / count; i < (no + 1) * total / count; i++) {
                GgufBytes.Tensor t = all.tensors.get(i);
                WeightType type = t.shape.length == 1 ? WeightType.F32 : WeightType.Q8_0;
                part.tensor(t.name, type, t.shape);
            }
            part.write(part(no + 1, count));
        }
    }

    private static GgufBytes yarn(GgufBytes bytes, float factor) {
        bytes.string("qwen2.rope.scaling.type", "yarn");
        bytes.f32("qwen2.rope.scaling.factor", factor);
        return bytes;
    }

    private static void chunks(GgufBytes bytes, int size, int local) {
        bytes.u32("qwen4j.dual_chunk.chunk_size", size);
        bytes.u32("qwen4j.dual_chunk.local_size", local);
    }

    @Test
    void readsYarnAndEndTokens() {
        GgufBytes b = good();
        b.string("qwen2.rope.scaling.type", "yarn");
        b.f32("qwen2.rope.scaling.factor", 4);
        b.u32("qwen2.rope.scaling.original_context_length", 64);
        b.f32("qwen2.rope.scaling.attn_factor", 0.5f);
        b.strings(
                "tokenizer.ggml.tokens",
                IntStream.range(0, ROWS).mapToObj(i -> i == 90 ? "<|im_end|>" : i == 91 ? "<|fim_pad|>" : "t" + i).toList());
        ByteBuffer types = little(4 * ROWS);
        IntStream.range(0, ROWS).forEach(i -> types.putInt(i == 90 ? 3 : 1));
        b.array("tokenizer.ggml.token_type", GgufBytes.INT32, ROWS, types.array());
        b.u32("tokenizer.ggml.eos_token_id", 5);
        try (Checkpoint c = CheckpointReader.open(b.write(temp.resolve("m.gguf")), ModelLimits.DEFAULT)) {
            QwenConfig.Yarn yarn = c.config().rope().yarn();
            assertEquals(1.138629436 / 2, yarn.attentionFactor(), 1e-8);
            assertEquals(256, c.config().contextLength());
            assertEquals(Set.of(5, 90), c.generationDefaults().endTokens());
        }
    }
}
