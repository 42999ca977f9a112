package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.gguf.GgufValue;
import io.qwen4j.core.format.gguf.GgufWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One tokenizer in all forms of files it may have. */
class FileFormsTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path directory;

    /** Every token, and the ids of all golden texts. */
    private static void assertSame(BpeTokenizer expected, BpeTokenizer found) throws IOException {
        assertEquals(expected.vocabularySize(), found.vocabularySize());
        for (int id = 0; id < expected.vocabularySize(); id++) {
            assertArrayEquals(expected.tokenBytes(id), found.tokenBytes(id), "token " + id);
            assertEquals(expected.isSpecial(id), found.isSpecial(id), "token " + id);
        }
        for (JsonNode one : RealTokenizer.cases("tokenizer-cases.json.gz")) {
            assertArrayEquals(expected.encode(one.get("text").textValue()), found.encode(one.get("text").textValue()));
        }
        assertEquals(expected.specialTokens().end(), found.specialTokens().end());
        assertEquals(expected.specialTokens().padding(), found.specialTokens().padding());
    }

    private ObjectNode realJson() throws IOException {
        try (var in = RealTokenizer.unzipped("tokenizer.json.gz")) {
            return (ObjectNode) JSON.readTree(in);
        }
    }

    private BpeTokenizer load() {
        return TokenizerLoader.load(directory, ModelLimits.DEFAULT);
    }

    private void copyConfig() throws IOException {
        try (var in = RealTokenizer.resource("tokenizer_config.json")) {
            Files.copy(in, directory.resolve("tokenizer_config.json"));
        }
    }

    @Test
    void vocabularyAndMerges() throws IOException {
        JsonNode model = realJson().get("model");
        JSON.writeValue(directory.resolve("vocab.json").toFile(), model.get("vocab"));
        List<String> lines = new ArrayList<>(List.of("#version: 0.2"));
        model.get("merges").forEach(merge -> lines.add(merge.textValue()));
        Files.write(directory.resolve("merges.txt"), lines);
        copyConfig();
        assertSame(RealTokenizer.INSTANCE, load());
    }

    @Test
    void mergesAsPairsAndBeforeTheVocabulary() throws IOException {
        ObjectNode json = realJson();
        ObjectNode model = (ObjectNode) json.get("model");
        ArrayNode pairs = JSON.createArrayNode();
        for (JsonNode merge : model.remove("merges")) {
            String[] parts = merge.textValue().split(" ");
            pairs.addArray().add(parts[0]).add(parts[1]);
        }
        JsonNode vocabulary = model.remove("vocab");
        model.set("merges", pairs);
        model.set("vocab", vocabulary);
        JsonNode added = json.remove("added_tokens");
        json.set("added_tokens", added);
        JSON.writeValue(directory.resolve("tokenizer.json").toFile(), json);
        copyConfig();
        assertSame(RealTokenizer.INSTANCE, load());
    }

    @Test
    void addedTokensFromTheConfigurationAlone() throws IOException {
        ObjectNode json = realJson();
        json.remove("added_tokens");
        JSON.writeValue(directory.resolve("tokenizer.json").toFile(), json);
        copyConfig();
        assertSame(RealTokenizer.INSTANCE, load());
    }

    @Test
    void rolesAsObjects() throws IOException {
        Files.write(directory.resolve("tokenizer.json"), new SmallFiles().bytes());
        Files.writeString(
                directory.resolve("tokenizer_config.json"),
                "{\"bos_token\":{\"content\":\"<|e|>\"},\"eos_token\":\"<|end|>\",\"pad_token\":\"hell\",\"unk_token\":null,"
                        + "\"add_bos_token\":true,\"other\":{\"eos_token\":1}}");
        BpeTokenizer small = load();
        int end = small.addedToken("<|end|>").orElseThrow();
        int hell = small.encode("hell")[0];
        assertEquals(new SpecialTokens(OptionalInt.of(end + 1), OptionalInt.of(end), OptionalInt.of(hell), true), small.specialTokens());
    }

    @Test
    void linksAreFollowed() throws IOException {
        Path blob = Files.write(directory.resolve("blob"), new SmallFiles().bytes());
        Files.createSymbolicLink(directory.resolve("tokenizer.json"), blob);
        assertTrue(load().vocabularySize() > 256);
    }

    @Test
    void vocabularyOfAnotherClass() throws IOException {
        Files.writeString(directory.resolve("vocab.json"), "{}");
        Files.writeString(directory.resolve("merges.txt"), "");
        Files.writeString(directory.resolve("tokenizer_config.json"), "{\"tokenizer_class\":\"GPT2Tokenizer\"}");
        assertReason(Reason.UNSUPPORTED, this::load);
    }

    private static void assertReason(Reason reason, org.junit.jupiter.api.function.Executable action) {
        ModelFileException e = assertThrows(ModelFileException.class, action);
        assertEquals(reason, e.reason(), e.getMessage());
    }

    /** The metadata that the converter of llama.cpp writes. */
    private Map<String, GgufValue> metadata(ObjectNode json, int rows) {
        String[] tokens = new String[rows];
        int[] types = new int[rows];
        for (int id = 0; id < rows; id++) {
            tokens[id] = "[PAD" + id + "]";
            types[id] = 5;
        }
        json.get("model").get("vocab").properties().forEach(token -> {
            tokens[token.getValue().intValue()] = token.getKey();
            types[token.getValue().intValue()] = 1;
        });
        for (JsonNode added : json.get("added_tokens")) {
            String content = added.get("content").textValue();
            tokens[added.get("id").intValue()] = content;
            types[added.get("id").intValue()] = content.startsWith("<|") ? 3 : 4;
        }
        List<String> merges = new ArrayList<>();
        json.get("model").get("merges").forEach(merge -> merges.add(merge.textValue()));
        Map<String, GgufValue> metadata = new LinkedHashMap<>();
        metadata.put("general.architecture", GgufValue.of("qwen2"));
        metadata.put("tokenizer.ggml.model", GgufValue.of("gpt2"));
        metadata.put("tokenizer.ggml.pre", GgufValue.of("qwen2"));
        metadata.put("tokenizer.ggml.tokens", GgufValue.of(Arrays.asList(tokens)));
        metadata.put("tokenizer.ggml.token_type", GgufValue.of(types));
        metadata.put("tokenizer.ggml.merges", GgufValue.of(merges));
        metadata.put("tokenizer.ggml.eos_token_id", GgufValue.of(151_645));
        metadata.put("tokenizer.ggml.padding_token_id", GgufValue.of(151_643));
        return metadata;
    }

    private BpeTokenizer gguf(Map<String, GgufValue> metadata) {
        Path file = directory.resolve("model.gguf");
        try (GgufWriter writer = GgufWriter.create(file, metadata, List.of())) {
            writer.finish();
        }
        return TokenizerLoader.load(file, ModelLimits.DEFAULT);
    }

    @Test
    void ggufWithPaddingRows() throws IOException {
        Map<String, GgufValue> metadata = metadata(realJson(), 151_936);
        BpeTokenizer found = gguf(metadata);
        assertSame(RealTokenizer.INSTANCE, found);
        assertEquals(OptionalInt.empty(), found.addedToken("[PAD151700]"));
        assertEquals(false, found.specialTokens().addBeginning());
    }

    private Map<String, GgufValue> small(int rows) {
        Map<String, GgufValue> metadata = metadata(new SmallFiles().json, rows);
        metadata.remove("tokenizer.ggml.eos_token_id");
        metadata.remove("tokenizer.ggml.padding_token_id");
        return metadata;
    }

    @Test
    void ggufRoles() {
        Map<String, GgufValue> metadata = small(300);
        metadata.put("tokenizer.ggml.bos_token_id", GgufValue.of(267));
        metadata.put("tokenizer.ggml.add_bos_token", GgufValue.of(true));
        metadata.put("tokenizer.ggml.pre", GgufValue.of("deepseek-r1-qwen"));
        SpecialTokens roles = gguf(metadata).specialTokens();
        assertEquals(OptionalInt.of(267), roles.beginning());
        assertTrue(roles.addBeginning());
        metadata.remove("tokenizer.ggml.pre");
        assertEquals(270, gguf(metadata).vocabularySize());
    }

    @Test
    void ggufRefusals() {
        Map<String, java.util.function.Consumer<Map<String, GgufValue>>> changes = new LinkedHashMap<>();
        changes.put("UNSUPPORTED model", m -> m.put("tokenizer.ggml.model", GgufValue.of("llama")));
        changes.put("UNSUPPORTED pre", m -> m.put("tokenizer.ggml.pre", GgufValue.of("llama-bpe")));
        changes.put("MISSING model", m -> m.remove("tokenizer.ggml.model"));
        changes.put("MISSING tokens", m -> m.remove("tokenizer.ggml.tokens"));
        changes.put("MISSING types", m -> m.remove("tokenizer.ggml.token_type"));
        changes.put("MISSING merges", m -> m.remove("tokenizer.ggml.merges"));
        changes.put("CORRUPT types of another length", m -> m.put("tokenizer.ggml.token_type", GgufValue.of(new int[3])));
        changes.put("CORRUPT types as strings", m -> m.put("tokenizer.ggml.token_type", strings(m, t -> "x")));
        changes.put("CORRUPT tokens as a string", m -> m.put("tokenizer.ggml.tokens", GgufValue.of("x")));
        changes.put("CORRUPT scores shorter", m -> m.put("tokenizer.ggml.scores", GgufValue.of(new int[5])));
        changes.put("CORRUPT eos of another type", m -> m.put("tokenizer.ggml.eos_token_id", GgufValue.of("x")));
        changes.put("TOKENIZER eos beyond", m -> m.put("tokenizer.ggml.eos_token_id", GgufValue.of(300)));
        changes.put("TOKENIZER type 0", m -> m.put("tokenizer.ggml.token_type", types(300, 0)));
        changes.put("TOKENIZER type 7", m -> m.put("tokenizer.ggml.token_type", types(300, 7)));
        changes.put("TOKENIZER byte token of another spelling", m -> m.put("tokenizer.ggml.token_type", types(300, 6)));
        changes.put("TOKENIZER byte <0x-1>", m -> m.put("tokenizer.ggml.tokens", strings(m, t -> t.equals("hell") ? "<0x-1>" : t)));
        changes.put("TOKENIZER byte <0x100>", m -> m.put("tokenizer.ggml.tokens", strings(m, t -> t.equals("hell") ? "<0x100>" : t)));
        changes.put("TOKENIZER token twice", m -> m.put("tokenizer.ggml.tokens", strings(m, t -> t.equals("hell") ? "he" : t)));
        changes.put("TOKENIZER empty token", m -> m.put("tokenizer.ggml.tokens", strings(m, t -> t.equals("hell") ? "" : t)));
        changes.put("TOKENIZER empty added token", m -> m.put("tokenizer.ggml.tokens", strings(m, t -> t.equals("<tool>") ? "" : t)));
        changes.put("TOKENIZER merge of unknown", m -> m.put("tokenizer.ggml.merges", GgufValue.of(List.of("x y"))));
        changes.put("TOKENIZER merge twice", m -> m.put("tokenizer.ggml.merges", GgufValue.of(List.of("h e", "h e"))));
        changes.forEach((name, change) -> {
            Map<String, GgufValue> metadata = small(300);
            change.accept(metadata);
            ModelFileException e = assertThrows(ModelFileException.class, () -> gguf(metadata), name);
            assertEquals(Reason.valueOf(name.split(" ")[0]), e.reason(), name + ": " + e.getMessage());
        });
    }

    private static GgufValue types(int count, int type) {
        int[] types = new int[count];
        Arrays.fill(types, type);
        return GgufValue.of(types);
    }

    private GgufValue strings(Map<String, GgufValue> metadata, java.util.function.UnaryOperator<String> change) {
        var files = new SmallFiles();
        String[] tokens = new String[300];
        for (int id = 0; id < tokens.length; id++) {
            tokens[id] = "[PAD" + id + "]";
        }
        files.vocabulary.properties().forEach(token -> tokens[token.getValue().intValue()] = token.getKey());
        files.added.forEach(token -> tokens[token.get("id").intValue()] = token.get("content").textValue());
        return GgufValue.of(Arrays.stream(tokens).map(change).collect(Collectors.toList()));
    }
}
