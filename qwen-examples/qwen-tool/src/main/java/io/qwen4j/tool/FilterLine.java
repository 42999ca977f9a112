package io.qwen4j.tool;

import io.qwen4j.filter.FilterListener;
import io.qwen4j.filter.FilterProgress;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Locale;

/** How far a filter is, in a line on a terminal only, gone when the work is done. */
final class FilterLine implements FilterListener, AutoCloseable {
    private final Output err;
    private int shown;

    FilterLine(Output err) {
        this.err = err;
    }

    @Override
    public void progress(FilterProgress progress) {
        if (!err.isTerminal() || progress.runLines() == 0) {
            return;
        }
        double part = progress.totalBytes() == 0 ? 1 : (double) progress.bytes() / progress.totalBytes();
        String text = String.format(
                Locale.ROOT,
                "filter %3.0f %%  %.1f documents/s  %.0f tokens/s  %.1f %% kept%s",
                100 * part,
                progress.documentsPerSecond(),
                progress.tokensPerSecond(),
                100 * progress.keptShare(),
                progress.remaining().map(left -> "  " + time(left) + " left").orElse(""));
        write("\r" + text + " ".repeat(Math.max(0, shown - text.length())));
        shown = text.length();
    }

    static String time(Duration duration) {
        long seconds = duration.toSeconds();
        return String.format(Locale.ROOT, "%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }

    @Override
    public void close() {
        if (shown > 0) {
            write("\r" + " ".repeat(shown) + "\r");
            shown = 0;
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
