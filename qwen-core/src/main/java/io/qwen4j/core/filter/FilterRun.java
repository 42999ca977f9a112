package io.qwen4j.core.filter;

import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import io.qwen4j.filter.FilterException;
import io.qwen4j.filter.FilterFiles;
import io.qwen4j.filter.FilterListener;
import io.qwen4j.filter.FilterProgress;
import io.qwen4j.filter.FilterSummary;
import io.qwen4j.filter.OnError;
import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Threshold;
import java.io.IOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A run from file to file. Lines are read and written on the calling thread and scored on others, so what is written is always that of a
 * beginning of the input, and the journal needs to tell three lengths only.
 */
public final class FilterRun {
    /** The setting that may differ between the runs of a file, see {@link RunJournal}. */
    static final String ON_ERROR = "on error";

    /** What a kill costs at most; forcing three files to a disk takes some ten milliseconds. */
    private static final long JOURNAL_NANOS = 500_000_000;

    private static final long PROGRESS_NANOS = 100_000_000;
    /** Bytes of lines from which on no further line is begun. */
    private static final long MOST_HELD_BYTES = 64 << 20;

    private final QualityFilter filter;
    private final FilterFiles names;
    private final FilterListener listener;
    private final Map<String, String> settings;
    private final RunFiles files;
    private final RunTotals totals;
    private final long begin = System.nanoTime();
    private final long firstByte;
    private final long firstLine;
    private final long firstToken;
    private final long inputLength;

    /** Bytes of the input that are done. */
    private long done;
    /** Whether the last line that is done had an end. */
    private boolean ended;

    private long journaled = begin;
    private long reported = begin;

    /** What became of a line: blank, scored or an error. */
    private record Result(
            InputLines.Line line, boolean kept, @Nullable DocumentScores scores, @Nullable DocumentException error) {}

    private FilterRun(QualityFilter filter, FilterListener listener, Map<String, String> settings, RunFiles files) throws IOException {
        this.filter = filter;
        this.listener = listener;
        this.settings = settings;
        this.files = files;
        names = files.names();
        RunJournal journal = files.journal();
        totals = journal == null ? new RunTotals(filter.scorer().dimensions()) : journal.totals();
        done = journal == null ? 0 : journal.inputBytes();
        ended = journal == null || journal.inputEnded();
        firstByte = done;
        firstLine = totals.lines;
        firstToken = totals.scoredTokens();
        inputLength = files.input().length();
    }

    /** Implements {@link QualityFilter#run(FilterFiles, FilterListener)}. */
    public static FilterSummary run(QualityFilter filter, FilterFiles names, FilterListener listener) {
        Map<String, String> settings = settings(filter, names);
        try (RunFiles files = RunFiles.open(names, settings, filter.scorer().dimensions())) {
            return new FilterRun(filter, listener, settings, files).run();
        } catch (IOException e) {
            throw new FilterException(FilterException.Reason.IO, names.input(), "reading failed: " + e.getMessage(), e);
        }
    }

    private static Map<String, String> settings(QualityFilter filter, FilterFiles names) {
        Map<String, String> settings = new LinkedHashMap<>(filter.scorer().settings());
        StringBuilder thresholds = new StringBuilder();
        for (Threshold threshold : filter.thresholds()) {
            thresholds.append(thresholds.isEmpty() ? "" : ", ").append(threshold.dimension()).append(' ').append(threshold.least())
                    .append(" to ").append(threshold.most());
        }
        Map<String, String> own = new LinkedHashMap<>();
        own.put("thresholds", thresholds.isEmpty() ? "none" : thresholds.toString());
        own.put(ON_ERROR, filter.onError().name());
        own.put("field", names.field());
        own.put("score field", names.scoreField());
        own.put("most bytes of a line", String.valueOf(names.mostLineBytes()));
        own.put("rejected", names.rejected() == null ? "none" : String.valueOf(names.rejected().getFileName()));
        own.forEach((name, value) -> {
            if (settings.put(name, value) != null) {
                throw new IllegalArgumentException("the scorer has a setting named '" + name + "', which is one of the run");
            }
        });
        return settings;
    }

    private FilterSummary run() throws IOException {
        begin();
        report();
        try (OrderedWork<Result> work = new OrderedWork<>(filter.inFlight())) {
            filter(work);
        }
        writeJournal();
        report();
        return totals.summary(firstLine, elapsed());
    }

    /** The journal first: what it does not tell may be cut away. */
    private void begin() {
        if (files.journal() == null) {
            journal(0, 0).write(names.journal());
        }
        files.output().cut(files.journal() == null ? 0 : files.journal().outputBytes());
        if (files.rejected() != null) {
            files.rejected().cut(files.journal() == null ? 0 : files.journal().rejectedBytes());
        }
    }

    private void filter(OrderedWork<Result> work) throws IOException {
        InputLines lines = new InputLines(files.input(), done, totals.lines, names.mostLineBytes());
        long read = done;
        boolean more = true;
        while (true) {
            while (more && work.size() < filter.inFlight() && read - done < MOST_HELD_BYTES) {
                InputLines.Line line = lines.next();
                if (line == null) {
                    more = false;
                } else {
                    read = line.end();
                    work.submit(() -> judge(line));
                }
            }
            if (work.size() == 0) {
                return;
            }
            write(next(work));
            if (System.nanoTime() - journaled >= JOURNAL_NANOS) {
                writeJournal();
            }
            if (System.nanoTime() - reported >= PROGRESS_NANOS) {
                report();
            }
        }
    }

    /** What ends the run in scoring leaves the outputs whole, so they need not be computed again. */
    private Result next(OrderedWork<Result> work) throws IOException {
        try {
            return work.take();
        } catch (Throwable t) {
            try {
                writeJournal();
            } catch (Throwable second) {
                t.addSuppressed(second);
            }
            throw t;
        }
    }

    /** On one of several threads. */
    private Result judge(InputLines.Line line) {
        byte[] bytes = line.bytes();
        try {
            if (bytes == null) {
                throw new DocumentException(
                        Reason.LINE_TOO_LONG, "expected at most " + names.mostLineBytes() + " bytes, found " + line.length(), null);
            }
            if (DocumentLine.isBlank(bytes)) {
                return new Result(line, false, null, null);
            }
            DocumentScores scores = filter.scorer().score(DocumentLine.document(bytes, names.field(), names.scoreField()));
            return new Result(line, filter.admits(scores), scores, null);
        } catch (DocumentException e) {
            DocumentException located =
                    new DocumentException(e.reason(), line.number(), names.input() + ", line " + line.number() + ": " + e.getMessage(), e);
            if (filter.onError() == OnError.FAIL) {
                throw located;
            }
            return new Result(line, filter.onError() == OnError.KEEP, null, located);
        }
    }

    private void write(Result result) throws IOException {
        if (result.scores == null && result.error == null) {
            totals.blank++;
        } else {
            OutputFile target = result.kept ? files.output() : files.rejected();
            if (target != null) {
                write(result, target);
            }
            if (result.kept) {
                totals.kept++;
            } else {
                totals.rejected++;
            }
            if (result.scores != null) {
                totals.add(result.scores);
            } else if (result.error != null) {
                totals.add(result.error);
            }
        }
        totals.lines++;
        done = result.line.end();
        ended = result.line.ended();
    }

    private void write(Result result, OutputFile target) throws IOException {
        byte[] bytes = result.line.bytes();
        if (bytes == null) {
            target.copy(files.input(), result.line.start(), result.line.start() + result.line.length());
        } else if (result.scores == null) {
            target.write(bytes);
        } else {
            int brace = DocumentLine.closingBrace(bytes);
            target.write(bytes, 0, brace);
            target.write(DocumentLine.field(names.scoreField(), result.scores));
            target.write(bytes, brace, bytes.length);
        }
        target.write(new byte[] {'\n'});
    }

    private void writeJournal() throws IOException {
        files.output().force();
        OutputFile rejected = files.rejected();
        if (rejected != null) {
            rejected.force();
        }
        if (!files.digest().readTo(files.input(), done)) {
            throw new IOException("the file was cut while it was read");
        }
        journal(files.output().length(), rejected == null ? 0 : rejected.length()).write(names.journal());
        journaled = System.nanoTime();
    }

    private RunJournal journal(long outputBytes, long rejectedBytes) {
        return new RunJournal(settings, done, files.digest().value(), ended, outputBytes, rejectedBytes, totals);
    }

    private Duration elapsed() {
        return Duration.ofNanos(System.nanoTime() - begin);
    }

    private void report() {
        reported = System.nanoTime();
        listener.progress(new FilterProgress(
                done,
                Math.max(done, inputLength),
                totals.lines,
                totals.kept,
                done - firstByte,
                totals.lines - firstLine,
                totals.scoredTokens() - firstToken,
                elapsed()));
    }
}
