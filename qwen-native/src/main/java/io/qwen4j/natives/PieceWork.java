package io.qwen4j.natives;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.LongConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Pieces of work that threads take one after the other: the calling thread, which also tells of the progress, and others that live as long as
 * the work. What fails on one thread ends the work on all of them.
 *
 * @param <P> a piece
 */
final class PieceWork<P> {
    private final List<P> pieces;
    private final Supplier<? extends Worker<P>> workers;
    private final LongConsumer listener;
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicLong done = new AtomicLong();
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    /** What a thread works with: made, used and closed by that thread alone. */
    interface Worker<P> extends AutoCloseable {
        /** Works on a piece, or a part of it if the progress says that the work ends. */
        void work(P piece, Progress progress);

        /** Waits for what was begun, after the last piece. */
        default void end() {}

        @Override
        void close();
    }

    /** Hears of bytes that are done. */
    interface Progress {
        /** Adds bytes and says whether the work goes on. */
        boolean add(long bytes);
    }

    private PieceWork(List<P> pieces, Supplier<? extends Worker<P>> workers, LongConsumer listener) {
        this.pieces = pieces;
        this.workers = workers;
        this.listener = listener;
    }

    /**
     * Works on all pieces.
     *
     * @param threads most threads, the calling one among them
     * @param listener hears of bytes that are done, on the calling thread
     */
    static <P> void run(List<P> pieces, int threads, Supplier<? extends Worker<P>> workers, LongConsumer listener) {
        new PieceWork<>(pieces, workers, listener).run(Math.min(threads, pieces.size()));
    }

    private void run(int threads) {
        List<Thread> others = new ArrayList<>();
        try {
            for (int i = 1; i < threads; i++) {
                Thread thread = new Thread(() -> take(this::isGoingOn), "qwen4j-load-" + i);
                thread.setDaemon(true);
                thread.start();
                others.add(thread);
            }
            take(() -> {
                listener.accept(done.getAndSet(0));
                return isGoingOn();
            });
        } catch (Throwable e) {
            failure.compareAndSet(null, e);
        } finally {
            join(others);
        }
        Throwable thrown = failure.get();
        if (thrown instanceof RuntimeException e) {
            throw e;
        }
        if (thrown instanceof Error e) {
            throw e;
        }
        if (thrown != null) {
            throw new IllegalStateException("reading the weights failed: " + thrown, thrown);
        }
        listener.accept(done.getAndSet(0));
    }

    private boolean isGoingOn() {
        return failure.get() == null;
    }

    /** What a worker uses is its own until it ends, so an interrupt is kept for later; a failure makes it end soon. */
    private static void join(List<Thread> threads) {
        boolean interrupted = false;
        for (Thread thread : threads) {
            while (thread.isAlive()) {
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void take(BooleanSupplier tell) {
        try (Worker<P> worker = workers.get()) {
            Progress progress = bytes -> {
                done.addAndGet(bytes);
                return tell.getAsBoolean();
            };
            for (int i = next.getAndIncrement(); i < pieces.size() && isGoingOn(); i = next.getAndIncrement()) {
                worker.work(pieces.get(i), progress);
            }
            if (isGoingOn()) {
                worker.end();
            }
        } catch (Throwable e) {
            failure.compareAndSet(null, e);
        }
    }
}
