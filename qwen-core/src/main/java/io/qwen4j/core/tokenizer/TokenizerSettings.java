package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import java.nio.file.Path;

/** Checks that the settings in tokenizer.json are those of the Qwen2 family. Nothing of them is run: they are compared. */
final class TokenizerSettings {
    private TokenizerSettings() {}

    /** Whether text is normalised: the normalizer is NFC, none, or a sequence of these. */
    static boolean normalizes(Path file, JsonNode normalizer) {
        if (normalizer.isNull()) {
            return false;
        }
        switch (normalizer.path("type").asText()) {
            case "NFC":
                return true;
            case "Sequence":
                boolean nfc = false;
                for (JsonNode part : normalizer.path("normalizers")) {
                    nfc |= normalizes(file, part);
                }
                return nfc;
            default:
                throw unsupported(file, "the normalizer must be NFC or none", normalizer);
        }
    }

    /** The pre-tokenizer must cut by the expression of Qwen2 and then go to bytes. */
    static void checkPreTokenizer(Path file, JsonNode preTokenizer) {
        JsonNode parts = preTokenizer.path("pretokenizers");
        boolean known = is(preTokenizer, "Sequence") && parts.size() == 2 && isSplit(parts.get(0)) && isByteLevel(parts.get(1));
        if (!known) {
            throw unsupported(
                    file, "the pre-tokenizer must be a Sequence of Split with the regular expression of Qwen2 and ByteLevel", preTokenizer);
        }
    }

    /** The words are the matches: what is cut out is kept, or what is between them, of which there is nothing, is removed. */
    private static boolean isSplit(JsonNode split) {
        boolean inverted = split.path("invert").asBoolean(false);
        return is(split, "Split")
                && split.path("pattern").path("Regex").asText().equals(PreTokenizer.PATTERN)
                && split.path("behavior").asText().equals(inverted ? "Removed" : "Isolated");
    }

    /** By default ByteLevel cuts by the expression of GPT-2 and puts a space in front. */
    private static boolean isByteLevel(JsonNode byteLevel) {
        return is(byteLevel, "ByteLevel")
                && !byteLevel.path("add_prefix_space").asBoolean(true)
                && !byteLevel.path("use_regex").asBoolean(true);
    }

    static void checkDecoder(Path file, JsonNode decoder) {
        if (!is(decoder, "ByteLevel")) {
            throw unsupported(file, "the decoder must be ByteLevel", decoder);
        }
    }

    /** Checks a setting of the model. */
    static void checkModel(Path file, String name, JsonNode value) {
        boolean known = switch (name) {
            case "type" -> value.asText().equals("BPE");
            case "dropout" -> value.isNull() || (value.isNumber() && value.doubleValue() == 0);
            case "continuing_subword_prefix", "end_of_word_suffix" -> value.isNull() || (value.isTextual() && value.asText().isEmpty());
            default -> value.isNull() || (value.isBoolean() && !value.booleanValue());
        };
        if (!known) {
            throw unsupported(file, "\"" + name + "\" of the model must be that of byte-level BPE as in Qwen2", value);
        }
    }

    private static boolean is(JsonNode node, String type) {
        return node.path("type").asText().equals(type);
    }

    private static ModelFileException unsupported(Path file, String expected, JsonNode found) {
        return new ModelFileException(Reason.UNSUPPORTED, file, expected + ", found " + TokenizerBuilder.shortened(found.toString()));
    }
}
