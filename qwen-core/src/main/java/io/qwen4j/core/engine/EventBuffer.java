package io.qwen4j.core.engine;

import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import java.util.ArrayDeque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Events between the delivery thread and one reader. The delivery thread never waits: it is the engine that pauses the sequence while the
 * buffer is full, so a few events more than {@link Generation#EVENT_BUFFER} may be here.
 */
final class EventBuffer {
    /** At this number of events a paused sequence goes on. Above half, so that there is something to read meanwhile. */
    static final int RESUME_AT = Generation.EVENT_BUFFER / 2;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final ArrayDeque<GenerationEvent> events = new ArrayDeque<>();
    private final Runnable roomAgain;
    private volatile int waiting;
    private volatile boolean mayDrop;
    private boolean consumed;
    private boolean resultWanted;
    private boolean dropped;
    private boolean ended;
    private @Nullable Throwable error;
    private @Nullable Runnable listener;

    /** Makes a buffer; {@code roomAgain} is run when a reader has made room. */
    EventBuffer(Runnable roomAgain) {
        this.roomAgain = roomAgain;
    }

    /** Events that hold up the engine. */
    int holding() {
        return mayDrop ? 0 : waiting;
    }

    /** Adds an event. Delivery thread. */
    void push(GenerationEvent event) {
        Runnable toCall;
        lock.lock();
        try {
            if (mayDrop && events.size() >= Generation.EVENT_BUFFER) {
                dropped = true;
                events.clear();
            }
            if (!dropped) {
                events.add(event);
            }
            waiting = events.size();
            changed.signalAll();
            toCall = listener;
        } finally {
            lock.unlock();
        }
        if (toCall != null) {
            toCall.run();
        }
    }

    /** Ends the stream; with an error, readers get it after the events. Returns whether it had not ended before. */
    boolean end(@Nullable Throwable failure) {
        Runnable toCall;
        lock.lock();
        try {
            if (ended) {
                return false;
            }
            ended = true;
            error = failure;
            changed.signalAll();
            toCall = listener;
        } finally {
            lock.unlock();
        }
        if (toCall != null) {
            toCall.run();
        }
        return true;
    }

    /**
     * Takes the one right to read.
     *
     * @param onChange run after every change, on the thread that made it; or null
     * @throws IllegalStateException if it was taken before, or events were dropped
     */
    void consume(@Nullable Runnable onChange) {
        lock.lock();
        try {
            if (consumed) {
                throw new IllegalStateException(
                        "the events of an answer are consumed once, through one of events, text, publisher and onEvent");
            }
            if (dropped) {
                throw new IllegalStateException("events were dropped: result or await was called, and nobody had asked for the events");
            }
            consumed = true;
            mayDrop = false;
            listener = onChange;
        } finally {
            lock.unlock();
        }
    }

    /** Notes that the whole answer is wanted, so that without a reader events need not be kept. */
    void wantResult() {
        boolean changes;
        lock.lock();
        try {
            changes = !resultWanted && !consumed;
            resultWanted = true;
            mayDrop = !consumed;
        } finally {
            lock.unlock();
        }
        if (changes) {
            roomAgain.run();
        }
    }

    /** Takes the next event, or null if there is none now. */
    @Nullable GenerationEvent poll() {
        boolean room;
        GenerationEvent event;
        lock.lock();
        try {
            event = events.poll();
            room = took(event);
        } finally {
            lock.unlock();
        }
        if (room) {
            roomAgain.run();
        }
        return event;
    }

    /** Waits for the next event; null if there will be none. */
    @Nullable GenerationEvent take() throws InterruptedException {
        boolean room;
        GenerationEvent event;
        lock.lockInterruptibly();
        try {
            while (events.isEmpty() && !ended) {
                changed.await();
            }
            event = events.poll();
            room = took(event);
        } finally {
            lock.unlock();
        }
        if (room) {
            roomAgain.run();
        }
        return event;
    }

    private boolean took(@Nullable GenerationEvent event) {
        waiting = events.size();
        return event != null && waiting == RESUME_AT;
    }

    /** Whether the stream ended, read or not. */
    boolean ended() {
        lock.lock();
        try {
            return ended;
        } finally {
            lock.unlock();
        }
    }

    /** Whether the stream ended and all events were taken. */
    boolean exhausted() {
        lock.lock();
        try {
            return ended && events.isEmpty();
        } finally {
            lock.unlock();
        }
    }

    /** The error that ended the stream, or null. */
    @Nullable Throwable error() {
        lock.lock();
        try {
            return error;
        } finally {
            lock.unlock();
        }
    }
}
