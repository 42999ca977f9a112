package io.qwen4j.tool;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Files of UTF-8 text. */
final class TextFile {
    private TextFile() {}

    /** Reads all of a file, or of standard input where its name is {@code -}. */
    static String read(String name, Streams streams) throws IOException {
        boolean standard = name.equals("-");
        try {
            return LineReader.text(standard ? streams.in().readAllBytes() : Files.readAllBytes(Path.of(name)));
        } catch (CharacterCodingException e) {
            throw new ToolException((standard ? "standard input" : name) + ": not UTF-8", e);
        }
    }
}
