package io.qwen4j.filter;

/** What becomes of a document that cannot be scored. */
public enum OnError {
    /** The run ends with its error. What came before it is done. */
    FAIL,
    /** It is not kept, like one that does not pass. */
    SKIP,
    /** It is kept without scores. */
    KEEP
}
