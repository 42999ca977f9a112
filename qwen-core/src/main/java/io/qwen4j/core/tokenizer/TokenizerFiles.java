package io.qwen4j.core.tokenizer;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import org.slf4j.LoggerFactory;

/** Opens the files of a tokenizer. */
final class TokenizerFiles {
    private TokenizerFiles() {}

    /** Opens a regular file, or a link to one, of limited size; another kind is refused before it is opened, because a FIFO would block. */
    static InputStream open(Path path, long limit) {
        try {
            BasicFileAttributes attributes = Files.readAttributes(path, BasicFileAttributes.class);
            if (!attributes.isRegularFile()) {
                throw new ModelFileException(
                        Reason.PATH,
                        path,
                        "expected a regular file, found " + (attributes.isDirectory() ? "a directory" : "a special file"));
            }
            if (attributes.size() > limit) {
                throw new ModelFileException(Reason.LIMIT, path, "the file has " + attributes.size() + " bytes, the limit is " + limit);
            }
            return Files.newInputStream(path);
        } catch (NoSuchFileException e) {
            throw new ModelFileException(Reason.MISSING, path, "there is no such file", e);
        } catch (IOException e) {
            throw new ModelFileException(Reason.IO, path, "cannot be opened: " + e, e);
        }
    }

    /** Closing what was only read loses nothing if it fails. */
    static void close(Closeable stream) {
        try {
            stream.close();
        } catch (IOException e) {
            LoggerFactory.getLogger(TokenizerFiles.class).debug("closing a file failed", e);
        }
    }
}
