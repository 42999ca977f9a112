package io.qwen4j.core.format;

import io.qwen4j.ModelFileException.Reason;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/** Text files of a model, UTF-8. */
public final class TextFile {
    private TextFile() {}

    /** The whole text. */
    public static String text(Path path, long maxBytes) {
        try (ModelFile file = ModelFile.open(path)) {
            if (file.size() > Math.min(maxBytes, Integer.MAX_VALUE - 64)) {
                throw file.error(Reason.LIMIT, "a size of " + file.size() + " bytes, at most " + maxBytes + " are read");
            }
            ByteBuffer bytes = ByteBuffer.allocate((int) file.size());
            file.read(0, bytes);
            try {
                return StandardCharsets.UTF_8.newDecoder().decode(bytes.flip()).toString();
            } catch (CharacterCodingException e) {
                throw file.error(Reason.CORRUPT, "the text must be UTF-8, found other bytes");
            }
        }
    }

    /** The lines; only line feeds, with or without a carriage return, end a line. */
    public static List<String> lines(Path path, long maxBytes) {
        return List.of(text(path, maxBytes).split("\r?\n"));
    }
}
