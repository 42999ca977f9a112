package io.qwen4j.core.engine;

import io.qwen4j.GenerationEvent;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Pushes events to one subscriber by the rules of Reactive Streams: signals one after the other, never more than requested, no recursion
 * when the subscriber requests from within a signal. The subscriber's code runs on threads of an executor, and only while there is
 * something to signal.
 */
final class EventPump implements Flow.Subscription, Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(EventPump.class);

    private final EventBuffer buffer;
    private final Executor executor;
    private final Runnable cancelRequest;
    /** Above 0 while a thread runs or is about to run the pump; counts what it has not yet looked at. */
    private final AtomicInteger work = new AtomicInteger();
    private final AtomicLong demand = new AtomicLong();
    private volatile Flow.@Nullable Subscriber<? super GenerationEvent> subscriber;
    private volatile boolean cancelled;
    private volatile @Nullable IllegalArgumentException badRequest;
    private volatile @Nullable Thread runner;

    EventPump(EventBuffer buffer, Executor executor, Runnable cancelRequest) {
        this.buffer = buffer;
        this.executor = executor;
        this.cancelRequest = cancelRequest;
    }

    /** Begins: {@code onSubscribe} is called on this thread. */
    void start(Flow.Subscriber<? super GenerationEvent> target) {
        work.incrementAndGet();
        subscriber = target;
        runner = Thread.currentThread();
        try {
            target.onSubscribe(this);
        } catch (Throwable t) {
            cancel();
            throw t;
        } finally {
            runner = null;
            // What was signalled meanwhile, and what had come before, is looked at now.
            executor.execute(this);
        }
    }

    /** Says that something changed. Any thread. */
    void signal() {
        if (subscriber != null && work.getAndIncrement() == 0) {
            executor.execute(this);
        }
    }

    /** Whether this thread is just running the subscriber's code. */
    boolean runsOnThisThread() {
        return runner == Thread.currentThread();
    }

    @Override
    public void run() {
        int seen = work.get();
        do {
            runner = Thread.currentThread();
            drain();
            runner = null;
            seen = work.addAndGet(-seen);
        } while (seen > 0);
    }

    private void drain() {
        while (true) {
            Flow.Subscriber<? super GenerationEvent> target = subscriber;
            if (cancelled || target == null) {
                subscriber = null;
                return;
            }
            IllegalArgumentException bad = badRequest;
            if (bad != null) {
                finish();
                cancelRequest.run();
                target.onError(bad);
                return;
            }
            GenerationEvent event = demand.get() > 0 ? buffer.poll() : null;
            if (event == null) {
                if (buffer.exhausted()) {
                    Throwable error = buffer.error();
                    finish();
                    if (error == null) {
                        target.onComplete();
                    } else {
                        target.onError(error);
                    }
                }
                return;
            }
            if (demand.get() != Long.MAX_VALUE) {
                demand.decrementAndGet();
            }
            try {
                target.onNext(event);
            } catch (Throwable t) {
                // Rule 2.13: a subscriber that throws has cancelled.
                cancel();
                LOG.warn("a subscriber failed; its request is cancelled", t);
            }
        }
    }

    private void finish() {
        cancelled = true;
        subscriber = null;
    }

    @Override
    public void request(long n) {
        if (n <= 0) {
            badRequest = new IllegalArgumentException("a subscriber must request at least 1 event (rule 3.9), found " + n);
        } else {
            demand.getAndUpdate(d -> d > Long.MAX_VALUE - n ? Long.MAX_VALUE : d + n);
        }
        signal();
    }

    @Override
    public void cancel() {
        if (!cancelled) {
            cancelled = true;
            cancelRequest.run();
            signal();
        }
    }
}
