package io.qwen4j;

/** Hears how far long work has come. Called on the working thread; an exception thrown here ends the work and reaches the caller. */
@FunctionalInterface
public interface ProgressListener {
    /**
     * Called at the start, at most about a hundred times in between, and at the end of a stage.
     *
     * @param stage what is being done, for example {@code "load"} or {@code "quantize"}
     * @param done units (bytes, tokens) done, from 0 to {@code total}
     * @param total units in all
     */
    void progress(String stage, long done, long total);

    /**
     * A listener that does nothing.
     *
     * @return the silent listener
     */
    static ProgressListener none() {
        return (stage, done, total) -> {};
    }
}
