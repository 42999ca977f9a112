package io.qwen4j.filter;

/**
 * Hears how far a run from file to file has come. Called on the thread that runs it; an exception thrown here ends the run and reaches the
 * caller, and the run can be resumed.
 */
@FunctionalInterface
public interface FilterListener {
    /**
     * Called when the run begins, after lines but at most ten times a second, and when it ends.
     *
     * @param progress how far it has come
     */
    void progress(FilterProgress progress);

    /**
     * A listener that does nothing.
     *
     * @return the silent listener
     */
    static FilterListener none() {
        return progress -> {};
    }
}
