package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import java.nio.file.Path;

/** Reads an added token as tokenizer.json and tokenizer_config.json have it. */
final class AddedTokenReader {
    private AddedTokenReader() {}

    /** A token that has its id inside. */
    static AddedToken read(Path file, JsonNode token) {
        JsonNode id = token.path("id");
        if (!id.isIntegralNumber() || !id.canConvertToInt()) {
            throw new ModelFileException(Reason.TOKENIZER, file, "the id of an added token must be a number, found " + id);
        }
        return read(file, token, id.intValue());
    }

    /** A token whose id stands elsewhere. */
    static AddedToken read(Path file, JsonNode token, int id) {
        JsonNode content = token.path("content");
        if (!content.isTextual()) {
            throw new ModelFileException(Reason.TOKENIZER, file, "the added token of id " + id + " has no string \"content\"");
        }
        if (flag(file, token, id, "single_word")) {
            throw new ModelFileException(
                    Reason.UNSUPPORTED,
                    file,
                    "the added token \"" + TokenizerBuilder.shortened(content.textValue()) + "\" has single_word");
        }
        return new AddedToken(
                id,
                new String(Text.characters(content.textValue())),
                flag(file, token, id, "lstrip"),
                flag(file, token, id, "rstrip"),
                flag(file, token, id, "normalized"),
                flag(file, token, id, "special"));
    }

    private static boolean flag(Path file, JsonNode token, int id, String name) {
        JsonNode value = token.path(name);
        if (!value.isBoolean() && !value.isMissingNode()) {
            throw new ModelFileException(
                    Reason.TOKENIZER, file, "\"" + name + "\" of the added token of id " + id + " must be true or false");
        }
        return value.asBoolean(false);
    }
}
