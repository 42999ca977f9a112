package io.qwen4j.core.engine;

import io.qwen4j.CancelledException;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationException;
import io.qwen4j.GenerationResult;
import io.qwen4j.QwenException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/** The views of one answer that users hold. */
final class RunningGeneration implements Generation {
    private final EventBuffer events;
    private final Executor executor;
    private final Runnable stop;
    /** The model that users hold, kept reachable as long as one of its answers is. */
    private final Object model;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition settledNow = lock.newCondition();
    private final List<CompletableFuture<GenerationResult>> futures = new ArrayList<>();
    private boolean settled;
    private @Nullable GenerationResult result;
    private @Nullable QwenException error;
    /** With a callback, the answer is complete only when the callback has taken its last event. */
    private @Nullable EventPump callback;
    private @Nullable GenerationResult heldResult;
    private @Nullable QwenException heldError;
    private boolean over;
    private boolean wanted;

    /**
     * Makes the views.
     *
     * @param events is filled by the delivery thread
     * @param executor runs code of users
     * @param stop asks the engine to end the sequence
     */
    RunningGeneration(EventBuffer events, Executor executor, Runnable stop, Object model) {
        this.events = events;
        this.executor = executor;
        this.stop = stop;
        this.model = model;
    }

    /** Takes the end from the delivery thread. */
    void ended(@Nullable GenerationResult whole, @Nullable QwenException failure) {
        lock.lock();
        try {
            over = true;
            heldResult = whole;
            heldError = failure;
        } finally {
            lock.unlock();
        }
        // First the events, so that an answer that was awaited is done.
        try {
            events.end(failure);
        } catch (Throwable t) {
            settle(null, new GenerationException("the end of the answer could not be told to its reader: " + t, t));
        }
        settleIfDue();
    }

    /** Settles an ended answer that somebody waits for; with a callback, the callback's end does. */
    private void settleIfDue() {
        boolean due;
        lock.lock();
        try {
            due = over && wanted && callback == null;
        } finally {
            lock.unlock();
        }
        if (due) {
            settle(heldResult, heldError);
        }
    }

    private void want() {
        events.wantResult();
        lock.lock();
        try {
            wanted = true;
        } finally {
            lock.unlock();
        }
        settleIfDue();
    }

    private void settle(@Nullable GenerationResult whole, @Nullable QwenException failure) {
        List<CompletableFuture<GenerationResult>> toComplete;
        lock.lock();
        try {
            if (settled) {
                return;
            }
            settled = true;
            result = whole;
            error = failure;
            toComplete = List.copyOf(futures);
            futures.clear();
            settledNow.signalAll();
        } finally {
            lock.unlock();
        }
        if (!toComplete.isEmpty()) {
            Runnable complete = () -> toComplete.forEach(f -> complete(f, whole, failure));
            try {
                // What users hang on a future runs where it is completed, so not on the delivery thread.
                executor.execute(complete);
            } catch (Throwable t) {
                // No thread is left to start: better here than never.
                complete.run();
            }
        }
    }

    private static void complete(
            CompletableFuture<GenerationResult> future, @Nullable GenerationResult whole, @Nullable QwenException failure) {
        if (failure == null) {
            future.complete(whole);
        } else {
            future.completeExceptionally(failure);
        }
    }

    @Override
    public Iterator<GenerationEvent> events() {
        events.consume(null);
        return new EventIterator();
    }

    @Override
    public Stream<String> text() {
        events.consume(null);
        return StreamSupport.stream(
                        Spliterators.spliteratorUnknownSize(new EventIterator(), Spliterator.ORDERED | Spliterator.NONNULL), false)
                .filter(GenerationEvent.TextDelta.class::isInstance)
                .map(event -> ((GenerationEvent.TextDelta) event).text())
                .onClose(this::cancel);
    }

    @Override
    public Flow.Publisher<GenerationEvent> publisher() {
        EventPump pump = new EventPump(events, executor, this::cancel);
        events.consume(pump::signal);
        AtomicBoolean subscribed = new AtomicBoolean();
        return subscriber -> {
            Objects.requireNonNull(subscriber, "subscriber");
            if (subscribed.compareAndSet(false, true)) {
                pump.start(subscriber);
            } else {
                subscriber.onSubscribe(new EventPump(events, executor, () -> {}));
                subscriber.onError(new IllegalStateException("the publisher of an answer takes one subscriber"));
            }
        };
    }

    @Override
    public CompletableFuture<GenerationResult> onEvent(Consumer<? super GenerationEvent> consumer) {
        Objects.requireNonNull(consumer, "callback");
        EventPump pump = new EventPump(events, executor, this::cancel);
        events.consume(pump::signal);
        lock.lock();
        try {
            callback = pump;
        } finally {
            lock.unlock();
        }
        CompletableFuture<GenerationResult> heard = new CancellingFuture(this::cancel);
        pump.start(new CallbackSubscriber(consumer, heard));
        return heard;
    }

    @Override
    public CompletableFuture<GenerationResult> result() {
        want();
        CompletableFuture<GenerationResult> future = new CancellingFuture(this::cancel);
        lock.lock();
        try {
            if (!settled) {
                futures.add(future);
                return future;
            }
        } finally {
            lock.unlock();
        }
        complete(future, result, error);
        return future;
    }

    @Override
    public GenerationResult await() {
        if (runsCallback()) {
            throw new IllegalStateException("an answer cannot be awaited by its own callback");
        }
        want();
        try {
            lock.lockInterruptibly();
            try {
                while (!settled) {
                    settledNow.await();
                }
                if (error != null) {
                    throw error;
                }
                return Objects.requireNonNull(result);
            } finally {
                lock.unlock();
            }
        } catch (InterruptedException e) {
            throw interrupted(e);
        }
    }

    private boolean runsCallback() {
        lock.lock();
        try {
            return callback != null && callback.runsOnThisThread();
        } finally {
            lock.unlock();
        }
    }

    private CancelledException interrupted(InterruptedException cause) {
        cancel();
        Thread.currentThread().interrupt();
        return new CancelledException("the thread that waited for the answer was interrupted; the request is cancelled", cause);
    }

    @Override
    public boolean cancel() {
        if (events.ended()) {
            return false;
        }
        stop.run();
        return true;
    }

    @Override
    public boolean isDone() {
        return events.ended();
    }

    @Override
    public void close() {
        cancel();
    }

    @Override
    public String toString() {
        return "Generation[" + (isDone() ? "done" : "running") + ", " + model + "]";
    }

    /** Cancelling it cancels the request. */
    private static final class CancellingFuture extends CompletableFuture<GenerationResult> {
        private final Runnable cancelRequest;

        CancellingFuture(Runnable cancelRequest) {
            this.cancelRequest = cancelRequest;
        }

        @Override
        public boolean cancel(boolean mayInterruptIfRunning) {
            boolean cancelled = super.cancel(mayInterruptIfRunning);
            if (cancelled) {
                cancelRequest.run();
            }
            return cancelled;
        }

        @Override
        public <U> CompletableFuture<U> newIncompleteFuture() {
            return new CompletableFuture<>();
        }
    }

    /** Blocks for the next event. Not thread-safe, as iterators are. */
    private final class EventIterator implements Iterator<GenerationEvent> {
        private @Nullable GenerationEvent next;
        private boolean over;

        @Override
        public boolean hasNext() {
            if (next == null && !over) {
                try {
                    next = events.take();
                } catch (InterruptedException e) {
                    throw interrupted(e);
                }
                over = next == null;
            }
            if (over && events.error() instanceof QwenException failure) {
                throw failure;
            }
            return next != null;
        }

        @Override
        public GenerationEvent next() {
            if (!hasNext()) {
                throw new NoSuchElementException("the answer has ended");
            }
            GenerationEvent event = Objects.requireNonNull(next);
            next = null;
            return event;
        }
    }

    /** Hands events to a callback, then settles the answer. */
    private final class CallbackSubscriber implements Flow.Subscriber<GenerationEvent> {
        private final Consumer<? super GenerationEvent> consumer;
        private final CompletableFuture<GenerationResult> heard;
        private Flow.@Nullable Subscription subscription;

        CallbackSubscriber(Consumer<? super GenerationEvent> consumer, CompletableFuture<GenerationResult> heard) {
            this.consumer = consumer;
            this.heard = heard;
        }

        @Override
        public void onSubscribe(Flow.Subscription s) {
            subscription = s;
            s.request(Long.MAX_VALUE);
        }

        @Override
        public void onNext(GenerationEvent event) {
            try {
                consumer.accept(event);
            } catch (Throwable t) {
                QwenException failure = new GenerationException("the callback of the answer failed: " + t, t);
                Objects.requireNonNull(subscription).cancel();
                settle(null, failure);
                heard.completeExceptionally(failure);
            }
        }

        @Override
        public void onError(Throwable t) {
            QwenException failure = t instanceof QwenException typed ? typed : new GenerationException(String.valueOf(t), t);
            settle(null, failure);
            heard.completeExceptionally(failure);
        }

        @Override
        public void onComplete() {
            settle(heldResult, null);
            heard.complete(heldResult);
        }
    }
}
