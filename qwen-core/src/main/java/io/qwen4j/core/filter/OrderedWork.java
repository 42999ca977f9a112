package io.qwen4j.core.filter;

import io.qwen4j.CancelledException;
import io.qwen4j.QwenException;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Work of several threads whose results come in the order of submission. The submitter bounds it: what is submitted and not taken is held.
 * Threads end when they have nothing to do, so that one that is forgotten leaves none behind. For one thread, but any may close it.
 */
final class OrderedWork<R> implements AutoCloseable {
    private static final long IDLE_SECONDS = 2;

    private final ThreadPoolExecutor executor;
    private final ConcurrentLinkedDeque<Future<R>> pending = new ConcurrentLinkedDeque<>();
    private int size;
    private volatile boolean closed;

    OrderedWork(int threads) {
        AtomicInteger count = new AtomicInteger();
        executor = new ThreadPoolExecutor(threads, threads, IDLE_SECONDS, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
            Thread thread = new Thread(task, "qwen4j-filter-" + count.getAndIncrement());
            thread.setDaemon(true);
            return thread;
        });
        executor.allowCoreThreadTimeOut(true);
    }

    void submit(Callable<R> work) {
        try {
            Future<R> result = executor.submit(work);
            pending.addLast(result);
            size++;
            if (closed) {
                result.cancel(true);
            }
        } catch (RejectedExecutionException e) {
            throw cancelled(e);
        }
    }

    /** What was submitted and not taken. */
    int size() {
        return size;
    }

    /**
     * Waits for the oldest result. What its work threw is thrown here.
     *
     * @throws CancelledException if this is closed, or the waiting thread is interrupted; it stays interrupted
     */
    R take() {
        try {
            R result = pending.element().get();
            pending.remove();
            size--;
            return result;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CancelledException("the thread that waited for a score was interrupted; filtering is cancelled", e);
        } catch (CancellationException e) {
            throw cancelled(e);
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            if (cause instanceof RuntimeException unchecked) {
                throw unchecked;
            } else if (cause instanceof Error fatal) {
                throw fatal;
            }
            throw new QwenException("a document could not be scored: " + cause, cause);
        }
    }

    private static CancelledException cancelled(RuntimeException cause) {
        return new CancelledException("filtering was cancelled", cause);
    }

    /** Interrupts what is under way and drops what is not begun; who waits for it is told. Idempotent. */
    @Override
    public void close() {
        closed = true;
        pending.forEach(result -> result.cancel(true));
        executor.shutdownNow();
    }
}
