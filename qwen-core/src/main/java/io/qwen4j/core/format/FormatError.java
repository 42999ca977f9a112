package io.qwen4j.core.format;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Makes the errors of this package: names from files are in their messages, so these are kept to one line of bounded length. */
public final class FormatError {
    private static final int MAX_CHARACTERS = 1000;

    private FormatError() {}

    /** An error in a file. */
    public static ModelFileException of(Reason reason, Path file, String message) {
        return of(reason, file, message, null);
    }

    /** An error in a file, with its cause. */
    public static ModelFileException of(Reason reason, Path file, String message, @Nullable Throwable cause) {
        return new ModelFileException(reason, file, oneLine(message), cause);
    }

    private static String oneLine(String message) {
        var text = new StringBuilder();
        for (int i = 0; i < message.length(); i++) {
            if (text.length() >= MAX_CHARACTERS) {
                return text.append("...").toString();
            }
            char c = message.charAt(i);
            if (Character.isISOControl(c) || c == 0x2028 || c == 0x2029) {
                text.append(String.format("\\u%04x", (int) c));
            } else {
                text.append(c);
            }
        }
        return text.toString();
    }
}
