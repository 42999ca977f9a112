package io.qwen4j.core.engine;

import io.qwen4j.CancelledException;
import io.qwen4j.GenerationException;
import io.qwen4j.ModelClosedException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;

/**
 * A sequence of which a caller waits for the result, such as an embedding. Its tokens are all known. What was reported of a position is
 * not reported again when the sequence is computed again.
 */
abstract class Job<R> extends Sequence {
    private final CompletableFuture<R> result = new CompletableFuture<>();
    /** Positions whose results were taken. */
    private int done;

    /** Makes a job that computes the first {@code count} tokens. */
    Job(int[] tokens, int count) {
        super(tokens, count);
    }

    /** The result, when all is computed. */
    abstract R result();

    final int done() {
        return done;
    }

    final void done(int positions) {
        done = positions;
    }

    final CompletableFuture<R> future() {
        return result;
    }

    @Override
    boolean blocked() {
        return false;
    }

    @Override
    boolean wantsOutput(int position) {
        return position >= done;
    }

    @Override
    boolean complete() {
        return done == length;
    }

    @Override
    void completed() {
        result.complete(result());
    }

    @Override
    void cancelled() {
        result.completeExceptionally(new CancelledException("the computation was cancelled"));
    }

    @Override
    void modelClosed() {
        result.completeExceptionally(new ModelClosedException());
    }

    @Override
    void failed(Throwable error) {
        result.completeExceptionally(error);
    }

    /** Waits for the result; if the waiting thread is interrupted, {@code stop} is asked to end the job. */
    final R await(Consumer<Sequence> stop) {
        try {
            return result.get();
        } catch (InterruptedException e) {
            CancelledException cancelled =
                    new CancelledException("the thread that waited for the result was interrupted; the computation is cancelled", e);
            result.completeExceptionally(cancelled);
            stop.accept(this);
            Thread.currentThread().interrupt();
            throw cancelled;
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            if (cause instanceof RuntimeException unchecked) {
                throw unchecked;
            }
            if (cause instanceof Error fatal) {
                throw fatal;
            }
            throw new GenerationException(String.valueOf(cause), cause);
        }
    }
}
