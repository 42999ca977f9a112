package io.qwen4j.tool;

import io.qwen4j.ProgressListener;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Locale;

/** A line that fills while long work goes on; on a terminal only, and gone when the work is done. */
final class ProgressBar implements ProgressListener, AutoCloseable {
    private static final int WIDTH = 30;
    /** Below this a line would only flicker. */
    private static final long QUIET_NANOS = 300_000_000;

    private static final long REDRAW_NANOS = 100_000_000;

    private final Output err;
    private final long start = System.nanoTime();
    private long drawn = Long.MIN_VALUE;
    private boolean visible;

    ProgressBar(Output err) {
        this.err = err;
    }

    @Override
    public void progress(String stage, long done, long total) {
        long now = System.nanoTime() - start;
        if (!err.isTerminal() || now < QUIET_NANOS || visible && now - drawn < REDRAW_NANOS) {
            return;
        }
        drawn = now;
        visible = true;
        double part = total <= 0 ? 0 : Math.min(1, (double) done / total);
        int filled = (int) (part * WIDTH);
        write(String.format(Locale.ROOT, "\r%-10s [%s%s] %3.0f %%", stage, "#".repeat(filled), ".".repeat(WIDTH - filled), part * 100));
    }

    @Override
    public void close() {
        if (visible) {
            visible = false;
            write("\r" + " ".repeat(WIDTH + 20) + "\r");
        }
    }

    private void write(String text) {
        try {
            err.print(text);
            err.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
