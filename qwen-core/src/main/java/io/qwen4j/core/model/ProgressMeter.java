package io.qwen4j.core.model;

import io.qwen4j.ProgressListener;

/** Tells a listener of the start, of about every hundredth, and of the end of a stage. Used by one thread. */
final class ProgressMeter {
    private final ProgressListener listener;
    private final String stage;
    private final long total;
    private long done;
    private long told;

    /** Starts the stage. */
    ProgressMeter(ProgressListener listener, String stage, long total) {
        this.listener = listener;
        this.stage = stage;
        this.total = total;
        listener.progress(stage, 0, total);
    }

    /** Counts more units as done. */
    void add(long units) {
        done = Math.min(total, done + units);
        if (done < total && done - told >= Math.max(1, total / 100)) {
            told = done;
            listener.progress(stage, done, total);
        }
    }

    /** Ends the stage. */
    void end() {
        listener.progress(stage, total, total);
    }
}
