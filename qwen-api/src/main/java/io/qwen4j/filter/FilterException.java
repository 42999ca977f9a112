package io.qwen4j.filter;

import io.qwen4j.QwenException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** A run from file to file cannot begin or go on. The message names the file, what was expected and what was found. */
public class FilterException extends QwenException {
    private static final long serialVersionUID = 1;

    /** Why. */
    public enum Reason {
        /** A file is absent, or is no regular file. */
        FILE,
        /** Two of the files are the same one. */
        SAME_FILE,
        /** An output is there already and no journal says that this run wrote it. */
        EXISTS,
        /** Another run writes the output. */
        LOCKED,
        /** The journal is not what this library writes. */
        JOURNAL,
        /** The journal is of a run with another input, model or other options, or the outputs are not those that it left. */
        DIFFERENT,
        /** Reading or writing failed; what the journal tells can be resumed. */
        IO
    }

    private final Reason reason;
    private final Path file;

    /**
     * Makes an error.
     *
     * @param reason the kind of error
     * @param file the file
     * @param message what was expected and what was found; the file's name is put before it
     * @param cause what led to it, or null
     */
    public FilterException(Reason reason, Path file, String message, @Nullable Throwable cause) {
        super(file + ": " + message, cause);
        this.reason = reason;
        this.file = file;
    }

    /**
     * The kind of error.
     *
     * @return the reason
     */
    public Reason reason() {
        return reason;
    }

    /**
     * The file.
     *
     * @return the file
     */
    public Path file() {
        return file;
    }
}
