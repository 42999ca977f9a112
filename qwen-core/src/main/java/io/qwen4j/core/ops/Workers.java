package io.qwen4j.core.ops;

import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** Threads that share the pieces of one task; the caller is one of them. Used by one caller at a time; allocates nothing per task. */
final class Workers implements AutoCloseable {
    /** Work in pieces. */
    interface Task {
        /**
         * Does one piece.
         *
         * @param piece 0 to the number of pieces - 1, each exactly once
         * @param worker 0 to the number of threads - 1; no two pieces run on one worker at a time
         */
        void run(int piece, int worker);
    }

    private final int threads;
    private final AtomicInteger next = new AtomicInteger();
    private @Nullable Task task;
    private int pieces;
    private int busy;
    private long round;
    private boolean closed;
    private @Nullable Throwable failure;

    Workers(int threads) {
        this.threads = threads;
        for (int i = 1; i < threads; i++) {
            int worker = i;
            Thread thread = new Thread(() -> serve(worker), "qwen4j-java-" + i);
            thread.setDaemon(true);
            thread.start();
        }
    }

    int threads() {
        return threads;
    }

    /** Does all pieces and returns when they are done; throws what a piece threw. */
    void run(Task work, int count) {
        synchronized (this) {
            if (closed) {
                throw new IllegalStateException("the backend is closed");
            }
            task = work;
            pieces = count;
            busy = threads - 1;
            failure = null;
            next.set(0);
            round++;
            notifyAll();
        }
        doPieces(work, count, 0);
        Throwable thrown = awaitOthers();
        if (thrown instanceof RuntimeException e) {
            throw e;
        }
        if (thrown instanceof Error e) {
            throw e;
        }
    }

    private synchronized @Nullable Throwable awaitOthers() {
        boolean interrupted = false;
        while (busy > 0) {
            try {
                wait();
            } catch (InterruptedException e) {
                // Pieces that run still use the caller's memory: the interrupt is kept for later.
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        task = null;
        return failure;
    }

    private void doPieces(Task work, int count, int worker) {
        try {
            int piece;
            while ((piece = next.getAndIncrement()) < count) {
                work.run(piece, worker);
            }
        } catch (Throwable e) {
            next.set(count);
            synchronized (this) {
                failure = failure == null ? e : failure;
            }
        }
    }

    private void serve(int worker) {
        long seen = 0;
        while (true) {
            Task work;
            int count;
            synchronized (this) {
                while (round == seen && !closed) {
                    try {
                        wait();
                    } catch (InterruptedException e) {
                        // Nobody else knows this thread; it ends by close() only.
                        continue;
                    }
                }
                work = task;
                if (closed || work == null) {
                    return;
                }
                seen = round;
                count = pieces;
            }
            doPieces(work, count, worker);
            synchronized (this) {
                if (--busy == 0) {
                    notifyAll();
                }
            }
        }
    }

    @Override
    public synchronized void close() {
        closed = true;
        notifyAll();
    }
}
