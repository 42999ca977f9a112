package io.qwen4j.filter;

import io.qwen4j.QwenException;
import org.jspecify.annotations.Nullable;

/**
 * A document, or the line it is in, cannot be scored. The message names file and line where there are any, the item, what was expected and
 * what was found.
 */
public class DocumentException extends QwenException {
    private static final long serialVersionUID = 1;

    /** Why. */
    public enum Reason {
        /** The line has more bytes than {@link FilterFiles#mostLineBytes()}. */
        LINE_TOO_LONG,
        /** The line is not UTF-8. */
        NOT_UTF8,
        /** The line is not one JSON object. */
        NOT_JSON,
        /** The object has no field of the document's name, or has it twice. */
        FIELD,
        /** The document's field is not a string. */
        NOT_TEXT,
        /** The object already has the field that the scores are written to. */
        SCORE_FIELD,
        /** The document is empty or blank. */
        EMPTY,
        /** The document has too few tokens for its perplexity. */
        TOO_SHORT,
        /** The document has more tokens than the limit or the context allows. */
        TOO_LONG,
        /** The model's results for this document are not finite numbers. */
        NUMERIC
    }

    private final Reason reason;
    private final long line;

    /**
     * Makes an error of a document.
     *
     * @param reason the kind of error
     * @param message the item, what was expected and what was found
     * @param cause what led to it, or null
     */
    public DocumentException(Reason reason, String message, @Nullable Throwable cause) {
        this(reason, 0, message, cause);
    }

    /**
     * Makes an error of a line.
     *
     * @param reason the kind of error
     * @param line the line's number, from 1
     * @param message file and line, the item, what was expected and what was found
     * @param cause what led to it, or null
     */
    public DocumentException(Reason reason, long line, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.reason = reason;
        this.line = line;
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
     * The line.
     *
     * @return its number from 1, or 0 where the document is in no file
     */
    public long line() {
        return line;
    }
}
