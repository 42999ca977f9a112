package io.qwen4j.core.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Files that are refused, each for its reason. */
class RefusalsTest {
    @TempDir
    Path directory;

    private static Arguments row(String name, Reason reason, String message, Consumer<SmallFiles> change) {
        return Arguments.of(name, reason, message, change);
    }

    static Stream<Arguments> changes() {
        return Stream.of(
                row("merge of an unknown left part", Reason.TOKENIZER, "its left part", f -> f.merges.add("xyz a")),
                row("merge of an unknown right part", Reason.TOKENIZER, "its right part", f -> f.merges.add("a xyz")),
                row("merge that makes an unknown token", Reason.TOKENIZER, "what it makes", f -> f.merges.add("x y")),
                row("merge of one part", Reason.TOKENIZER, "two tokens", f -> f.merges.add("hell")),
                row("merge of three parts", Reason.TOKENIZER, "two tokens", f -> f.merges.add("h e ll")),
                row("merge with an empty part", Reason.TOKENIZER, "two tokens", f -> f.merges.add(" he")),
                row("empty merge", Reason.TOKENIZER, "two tokens", f -> f.merges.add("")),
                row("merge of characters that are no bytes", Reason.TOKENIZER, "two tokens", f -> f.merges.add("\u4e2d \u6587")),
                row("duplicate merge", Reason.TOKENIZER, "occurs twice", f -> f.merges.add("h e")),
                row("merge that is a number", Reason.CORRUPT, "a merge must be", f -> f.merges.add(1)),
                row("merge of an array of three", Reason.CORRUPT, "a merge must be", f -> f.merges.addArray().add("h").add("e").add("l")),
                row("merge of an array of one", Reason.CORRUPT, "a merge must be", f -> f.merges.addArray().add("h")),
                row("negative id", Reason.TOKENIZER, "-1", f -> f.vocabulary.put("zz", -1)),
                row("id that is a fraction", Reason.TOKENIZER, "whole number", f -> f.vocabulary.put("zz", 1.5)),
                row("id that is a string", Reason.TOKENIZER, "whole number", f -> f.vocabulary.put("zz", "1")),
                row("id beyond 64 bits", Reason.TOKENIZER, "whole number", f ->
                        f.vocabulary.put("zz", new java.math.BigInteger("9".repeat(30)))),
                row("id of 2^55", Reason.LIMIT, "limit", f -> f.vocabulary.put("zz", 1L << 55)),
                row("id of 2^62", Reason.TOKENIZER, "18 digits", f -> f.vocabulary.put("zz", 1L << 62)),
                row("id beyond the limit", Reason.LIMIT, "limit", f -> f.vocabulary.put("zz", 1 << 20)),
                row("duplicate id", Reason.TOKENIZER, "two tokens", f -> f.vocabulary.put("zz", 3)),
                row("gap", Reason.TOKENIZER, "without a gap", f -> f.vocabulary.put("zz", f.next + 1)),
                row("byte without token", Reason.TOKENIZER, "0x21", f -> f.vocabulary.put("zz", f.vocabulary.remove("!").intValue())),
                row("empty token", Reason.TOKENIZER, "empty", f -> f.vocabulary.put("", f.next)),
                row("token of characters that are no bytes", Reason.TOKENIZER, "no byte", f -> f.vocabulary.put("\u4e2d", f.next)),
                row("byte token <0x-1>", Reason.TOKENIZER, "hexadecimal", f -> f.vocabulary.put("<0x-1>", f.next)),
                row("byte token <0xZZ>", Reason.TOKENIZER, "hexadecimal", f -> f.vocabulary.put("<0xZZ>", f.next)),
                row("byte token <0x100>", Reason.TOKENIZER, "hexadecimal", f -> f.vocabulary.put("<0x100>", f.next)),
                row("empty added token", Reason.TOKENIZER, "is empty", f -> f.add("", false)),
                row("endless added token", Reason.LIMIT, "characters", f -> f.add("x".repeat(1025), false)),
                row("added token twice", Reason.TOKENIZER, "occurs twice", f -> f.add("<tool>", false)),
                row("added token with the id of another", Reason.TOKENIZER, "two added tokens", f ->
                        f.add("<x>", false).put("id", f.next - 2)),
                row("added token with the id of a word", Reason.TOKENIZER, "of another token", f -> f.add("<x>", false).put("id", 258)),
                row("added token with a negative id", Reason.TOKENIZER, "-5", f -> f.add("<x>", false).put("id", -5)),
                row("added token that is a word", Reason.TOKENIZER, "in the vocabulary", f -> f.add("hell", false)),
                row("special token made of text", Reason.TOKENIZER, "special token", f -> f.add("hell", true).put("id", 258)),
                row("added token without text", Reason.TOKENIZER, "content", f -> f.add("<x>", false).remove("content")),
                row("added token without id", Reason.TOKENIZER, "id", f -> f.add("<x>", false).remove("id")),
                row("added token with a number as flag", Reason.TOKENIZER, "true or false", f -> f.add("<x>", false).put("lstrip", 1)),
                row("whole words only", Reason.UNSUPPORTED, "single_word", f -> f.add("<x>", false).put("single_word", true)),
                row("another regular expression", Reason.UNSUPPORTED, "pre-tokenizer", f ->
                        ((ObjectNode) f.preTokenizer(0).get("pattern")).put("Regex", "(a+)+$")),
                row("a string as pattern", Reason.UNSUPPORTED, "pre-tokenizer", f ->
                        f.preTokenizer(0).putObject("pattern").put("String", " ")),
                row("another behaviour", Reason.UNSUPPORTED, "pre-tokenizer", f -> f.preTokenizer(0).put("behavior", "Removed")),
                row("inverted", Reason.UNSUPPORTED, "pre-tokenizer", f -> f.preTokenizer(0).put("invert", true)),
                row("prefix space", Reason.UNSUPPORTED, "pre-tokenizer", f -> f.preTokenizer(1).put("add_prefix_space", true)),
                row("expression of GPT-2", Reason.UNSUPPORTED, "pre-tokenizer", f -> f.preTokenizer(1).remove("use_regex")),
                row("another pre-tokenizer", Reason.UNSUPPORTED, "pre-tokenizer", f ->
                        f.json.putObject("pre_tokenizer").put("type", "Whitespace")),
                row("no pre-tokenizer", Reason.UNSUPPORTED, "pre-tokenizer", f -> f.json.putNull("pre_tokenizer")),
                row("pre-tokenizer missing", Reason.CORRUPT, "pre_tokenizer", f -> f.json.remove("pre_tokenizer")),
                row("another normalizer", Reason.UNSUPPORTED, "normalizer", f -> f.json.putObject("normalizer").put("type", "NFKC")),
                row("another decoder", Reason.UNSUPPORTED, "decoder", f -> f.json.putObject("decoder").put("type", "Metaspace")),
                row("another model", Reason.UNSUPPORTED, "type", f -> f.model().put("type", "Unigram")),
                row("dropout", Reason.UNSUPPORTED, "dropout", f -> f.model().put("dropout", 0.1)),
                row("byte fallback", Reason.UNSUPPORTED, "byte_fallback", f -> f.model().put("byte_fallback", true)),
                row("merges ignored", Reason.UNSUPPORTED, "ignore_merges", f -> f.model().put("ignore_merges", true)),
                row("subword prefix", Reason.UNSUPPORTED, "continuing", f -> f.model().put("continuing_subword_prefix", "##")),
                row("another version", Reason.UNSUPPORTED, "version", f -> f.json.put("version", "2.0")),
                row("vocabulary is an array", Reason.CORRUPT, "vocabulary", f -> f.model().putArray("vocab")),
                row("merges are an object", Reason.CORRUPT, "merges", f -> f.model().putObject("merges")),
                row("no merges", Reason.CORRUPT, "model.merges", f -> f.model().remove("merges")),
                row("model is a list", Reason.CORRUPT, "model", f -> f.json.putArray("model")),
                row("settings of 100,000 values", Reason.LIMIT, "values", f -> {
                    var list = f.json.putArray("normalizer");
                    for (int i = 0; i < 100_000; i++) {
                        list.add(i);
                    }
                }));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("changes")
    void refused(String name, Reason reason, String message, Consumer<SmallFiles> change) {
        var files = new SmallFiles();
        change.accept(files);
        ModelFileException e = assertThrows(ModelFileException.class, () -> files.load(directory));
        assertEquals(reason, e.reason(), e.getMessage());
        assertTrue(e.getMessage().contains(message), e.getMessage());
        assertEquals(directory.resolve("tokenizer.json"), e.file());
    }

    static Stream<Arguments> texts() {
        String whole = new String(new SmallFiles().bytes(), StandardCharsets.UTF_8);
        return Stream.of(
                Arguments.of("empty", Reason.TRUNCATED, ""),
                Arguments.of("no JSON", Reason.CORRUPT, "tokenizer"),
                Arguments.of("array", Reason.CORRUPT, "[]"),
                Arguments.of("cut", Reason.TRUNCATED, whole.substring(0, whole.length() / 2)),
                Arguments.of("trailing junk", Reason.CORRUPT, whole + "{}"),
                Arguments.of("nested 100,000 deep", Reason.LIMIT, "{\"normalizer\":" + "[".repeat(100_000)),
                Arguments.of("unread part nested 100,000 deep", Reason.LIMIT, "{\"other\":" + "[".repeat(100_000)),
                Arguments.of("duplicate token", Reason.TOKENIZER, whole.replace("\"hell\":", "\"he\":")),
                Arguments.of("two models", Reason.DUPLICATE, whole.replaceFirst("\"version\":\"1.0\"", "\"model\":{},\"model\":{}")),
                Arguments.of("two vocabularies", Reason.DUPLICATE, whole.replaceFirst("\"type\":\"BPE\"", "\"vocab\":{},\"type\":\"BPE\"")),
                Arguments.of("duplicate setting", Reason.DUPLICATE,
                        whole.replaceFirst("\"invert\":false", "\"invert\":false,\"invert\":true")),
                Arguments.of("NaN", Reason.CORRUPT, whole.replaceFirst("\"hell\":[0-9]+", "\"hell\":NaN")));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("texts")
    void refusedText(String name, Reason reason, String text) throws IOException {
        Files.writeString(directory.resolve("tokenizer.json"), text);
        assertRefused(reason, ModelLimits.DEFAULT);
    }

    private void assertRefused(Reason reason, ModelLimits limits) {
        ModelFileException e = assertThrows(ModelFileException.class, () -> TokenizerLoader.load(directory, limits));
        assertEquals(reason, e.reason(), e.getMessage());
    }

    @Test
    void notUtf8() throws IOException {
        byte[] bytes = new SmallFiles().bytes();
        int at = new String(bytes, StandardCharsets.ISO_8859_1).indexOf("\"hell\"");
        bytes[at + 1] = (byte) 0xff;
        Files.write(directory.resolve("tokenizer.json"), bytes);
        assertRefused(Reason.CORRUPT, ModelLimits.DEFAULT);
    }

    @Test
    void nothingThere() {
        assertRefused(Reason.MISSING, ModelLimits.DEFAULT);
    }

    @Test
    void noSuchPath() {
        ModelFileException e = assertThrows(
                ModelFileException.class, () -> TokenizerLoader.load(directory.resolve("absent"), ModelLimits.DEFAULT));
        assertEquals(Reason.MISSING, e.reason());
    }

    @Test
    void directoryInPlaceOfAFile() throws IOException {
        Files.createDirectory(directory.resolve("tokenizer.json"));
        assertRefused(Reason.PATH, ModelLimits.DEFAULT);
    }

    @Test
    void oneGigabyte() throws IOException {
        try (var file = new RandomAccessFile(directory.resolve("tokenizer.json").toFile(), "rw")) {
            file.setLength(1L << 30);
        }
        assertRefused(Reason.LIMIT, ModelLimits.DEFAULT);
    }

    @Test
    void tenMillionMerges() throws IOException {
        var files = new SmallFiles();
        files.model().remove("merges");
        String whole = new String(files.bytes(), StandardCharsets.UTF_8);
        try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(directory.resolve("tokenizer.json")))) {
            // The last member of the model, which is the last of the file.
            int end = whole.length() - 2;
            out.write((whole.substring(0, end) + ",\"merges\":[").getBytes(StandardCharsets.UTF_8));
            byte[] merge = "\"h e\",".getBytes(StandardCharsets.UTF_8);
            for (int i = 0; i < 10_000_000; i++) {
                out.write(merge);
            }
            out.write(("\"h e\"]" + whole.substring(end)).getBytes(StandardCharsets.UTF_8));
        }
        assertRefused(Reason.LIMIT, ModelLimits.DEFAULT);
    }

    @Test
    void limitsAreSettable() throws IOException {
        Files.write(directory.resolve("tokenizer.json"), new SmallFiles().bytes());
        ModelLimits d = ModelLimits.DEFAULT;
        assertRefused(Reason.LIMIT,
                new ModelLimits(d.headerBytes(), 1000, d.tensors(), d.layers(), d.vocabulary(), d.templateCharacters()));
        assertRefused(Reason.LIMIT,
                new ModelLimits(d.headerBytes(), d.tokenizerBytes(), d.tensors(), d.layers(), 200, d.templateCharacters()));
    }

    static Stream<Arguments> configs() {
        return Stream.of(
                Arguments.of("id of another token", Reason.TOKENIZER, "{\"added_tokens_decoder\":{\"5\":{\"content\":\"<|end|>\"}}}"),
                Arguments.of("id that is no number", Reason.TOKENIZER, "{\"added_tokens_decoder\":{\"x\":{\"content\":\"<y>\"}}}"),
                Arguments.of("no object", Reason.CORRUPT, "{\"added_tokens_decoder\":[]}"),
                Arguments.of("eos_token is a number", Reason.CORRUPT, "{\"eos_token\":5}"),
                Arguments.of("two eos_token", Reason.DUPLICATE, "{\"eos_token\":null,\"eos_token\":\"<|end|>\"}"),
                Arguments.of("cut", Reason.TRUNCATED, "{\"eos_token\":"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("configs")
    void refusedConfig(String name, Reason reason, String text) throws IOException {
        Files.write(directory.resolve("tokenizer.json"), new SmallFiles().bytes());
        Files.writeString(directory.resolve("tokenizer_config.json"), text);
        assertRefused(reason, ModelLimits.DEFAULT);
    }
}
