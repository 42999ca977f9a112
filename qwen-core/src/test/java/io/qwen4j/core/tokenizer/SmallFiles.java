package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.qwen4j.ModelLimits;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A tokenizer of 256 bytes, a few merges and three added tokens, to be changed by a test and written to a directory. */
final class SmallFiles {
    static final String[] MERGES = {
        "h e", "l l", "he ll", "hell o", "\u0120 w", "o r", "\u0120w or", "l d", "\u0120wor ld", "a a", "aa aa"
    };

    final ObjectNode json;
    final ObjectNode vocabulary;
    final ArrayNode merges;
    final ArrayNode added;
    int next;

    SmallFiles() {
        JsonNodeFactory nodes = JsonNodeFactory.instance;
        vocabulary = nodes.objectNode();
        merges = nodes.arrayNode();
        added = nodes.arrayNode();
        for (int b = 0; b < 256; b++) {
            vocabulary.put(String.valueOf(character(b)), next++);
        }
        for (String merge : MERGES) {
            merges.add(merge);
            vocabulary.put(merge.replace(" ", ""), next++);
        }
        json = nodes.objectNode();
        json.put("version", "1.0");
        json.set("added_tokens", added);
        json.putObject("normalizer").put("type", "NFC");
        ObjectNode preTokenizer = json.putObject("pre_tokenizer").put("type", "Sequence");
        ArrayNode parts = preTokenizer.putArray("pretokenizers");
        ObjectNode split = parts.addObject().put("type", "Split").put("behavior", "Isolated").put("invert", false);
        split.putObject("pattern").put("Regex", PreTokenizer.PATTERN);
        parts.addObject().put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", false).put("use_regex", false);
        json.putObject("decoder").put("type", "ByteLevel");
        ObjectNode model = json.putObject("model").put("type", "BPE");
        model.set("vocab", vocabulary);
        model.set("merges", merges);
        add("<|end|>", true);
        add("<|e|>", true);
        add("<tool>", false);
    }

    /** The character that stands for a byte. */
    static char character(int b) {
        for (char c = 0; c < 0x144; c++) {
            if (ByteCharacters.byteOf(c) == b) {
                return c;
            }
        }
        throw new AssertionError(b);
    }

    /** Adds an added token with the next id and returns it. */
    ObjectNode add(String spelling, boolean special) {
        ObjectNode token = added.addObject().put("id", next++).put("content", spelling).put("special", special);
        return token.put("single_word", false).put("lstrip", false).put("rstrip", false).put("normalized", false);
    }

    ObjectNode model() {
        return (ObjectNode) json.get("model");
    }

    ObjectNode preTokenizer(int part) {
        return (ObjectNode) json.get("pre_tokenizer").get("pretokenizers").get(part);
    }

    /** tokenizer.json as bytes. */
    byte[] bytes() {
        try {
            return new ObjectMapper().writeValueAsBytes(json);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Writes tokenizer.json and reads it. */
    BpeTokenizer load(Path directory) throws IOException {
        Files.write(directory.resolve("tokenizer.json"), bytes());
        return TokenizerLoader.load(directory, ModelLimits.DEFAULT);
    }
}
