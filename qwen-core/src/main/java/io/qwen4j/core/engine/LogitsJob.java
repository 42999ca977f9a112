package io.qwen4j.core.engine;

import io.qwen4j.LogitsConsumer;
import java.nio.FloatBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * Rows of logits for a consumer. A step's rows are copied; while the consumer takes them on a thread of its own, the sequence pauses and
 * others go on.
 */
final class LogitsJob extends Job<Void> {
    private final LogitsConsumer consumer;
    private final Executor executor;
    private final Runnable wake;
    private final Consumer<Sequence> stop;
    private final int vocabularyRows;
    private final int slice;
    private final float[] rows;
    private int copied;
    private volatile boolean consuming;
    /** Completed when the consumer has taken the last row. */
    private final CompletableFuture<Void> consumed = new CompletableFuture<>();

    /**
     * Makes a job.
     *
     * @param executor runs the consumer
     * @param wake makes the engine look again
     * @param stop makes the engine end a sequence
     * @param slice most rows of a step, all of which are copied
     */
    LogitsJob(
            int[] tokens,
            LogitsConsumer consumer,
            Executor executor,
            Runnable wake,
            Consumer<Sequence> stop,
            int vocabularyRows,
            int slice) {
        super(tokens, tokens.length);
        this.consumer = consumer;
        this.executor = executor;
        this.wake = wake;
        this.stop = stop;
        this.vocabularyRows = vocabularyRows;
        this.slice = Math.min(slice, tokens.length);
        rows = new float[Math.multiplyExact(this.slice, vocabularyRows)];
    }

    @Override
    int maxSlice() {
        return slice;
    }

    @Override
    boolean blocked() {
        return consuming;
    }

    @Override
    void output(int position, FloatBuffer row, int offset, long nanos) {
        row.get(offset, rows, copied * vocabularyRows, vocabularyRows);
        copied++;
        done(position + 1);
    }

    @Override
    void afterStep() {
        if (copied > 0) {
            int count = copied;
            int first = done() - count;
            copied = 0;
            consuming = true;
            executor.execute(() -> consume(first, count));
        }
    }

    private void consume(int first, int count) {
        try {
            for (int i = 0; i < count && !future().isDone(); i++) {
                consumer.row(first + i, FloatBuffer.wrap(rows, i * vocabularyRows, vocabularyRows).slice().asReadOnlyBuffer());
            }
        } catch (Throwable t) {
            // The caller of logits gets what its consumer threw.
            future().completeExceptionally(t);
            stop.accept(this);
        }
        if (first + count == length) {
            consumed.complete(null);
        }
        consuming = false;
        wake.run();
    }

    @Override
    Void result() {
        throw new IllegalStateException("completed by the consumer");
    }

    @Override
    void completed() {
        consumed.thenRun(() -> future().complete(null));
    }
}
