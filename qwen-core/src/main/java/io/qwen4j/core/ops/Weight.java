package io.qwen4j.core.ops;

/** A weight matrix owned by a backend, in whatever layout it likes. Row-major (rows, columns) in meaning. */
public interface Weight extends AutoCloseable {
    /** Output width. */
    int rows();

    /** Input width. */
    int columns();

    /** Memory it takes, in bytes. */
    long bytes();

    /** Frees it. Idempotent; never while an operation uses it. */
    @Override
    void close();
}
