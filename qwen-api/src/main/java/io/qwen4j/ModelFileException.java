package io.qwen4j;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** A model's file is not what it should be. The message names the file, the item, what was expected and what was found. */
public class ModelFileException extends QwenException {
    private static final long serialVersionUID = 1;

    /** Why a file is refused. */
    public enum Reason {
        /** A file or tensor that must be there is absent. */
        MISSING,
        /** The file ends before what it declares. */
        TRUNCATED,
        /** The structure breaks the format's rules. */
        CORRUPT,
        /** Something occurs twice that may occur once. */
        DUPLICATE,
        /** A bound of {@link ModelLimits} is exceeded. */
        LIMIT,
        /** Sizes that do not fit in 64 bits. */
        OVERFLOW,
        /** A tensor's shape or size differs from what the configuration requires. */
        SHAPE,
        /** A tensor's place in the file is outside, overlapping, unaligned or leaves a hole. */
        OFFSET,
        /** A file name leads out of the model's directory, or is no regular file. */
        PATH,
        /** A hyper-parameter is out of its range or contradicts another one. */
        CONFIG,
        /** The tokenizer's files contradict themselves or the model. */
        TOKENIZER,
        /** A well-formed thing that this library does not run. */
        UNSUPPORTED,
        /** A version older than what this library reads. */
        TOO_OLD,
        /** A version newer than what this library reads. */
        TOO_NEW,
        /** NaN, infinity or another value that no weight may have. */
        VALUE,
        /** Reading failed. */
        IO
    }

    private final Reason reason;
    private final @Nullable Path file;

    /**
     * Makes an error.
     *
     * @param reason the kind of error
     * @param file the file, or null where there is none
     * @param message the item, what was expected and what was found; the file's name is put before it
     */
    public ModelFileException(Reason reason, @Nullable Path file, String message) {
        this(reason, file, message, null);
    }

    /**
     * Makes an error with a cause.
     *
     * @param reason the kind of error
     * @param file the file, or null where there is none
     * @param message the item, what was expected and what was found; the file's name is put before it
     * @param cause what led to it, or null
     */
    public ModelFileException(Reason reason, @Nullable Path file, String message, @Nullable Throwable cause) {
        super(file == null ? message : file + ": " + message, cause);
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
     * @return the file, or null where there is none
     */
    public @Nullable Path file() {
        return file;
    }
}
