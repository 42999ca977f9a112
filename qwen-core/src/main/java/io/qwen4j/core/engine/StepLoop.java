package io.qwen4j.core.engine;

import io.qwen4j.GenerationException;
import io.qwen4j.QwenException;
import io.qwen4j.core.cache.PageTable;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.LogitSelection;
import java.util.Objects;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The engine thread: plans a step, computes it, hands out what came of it, and starts again. Nothing is allocated per token.
 *
 * <p>It owns the model's memory and frees it when it ends, so nothing can be freed while it is used. An error of one row (such as NaN
 * logits) ends that sequence; an error of a step ends the sequences of the step; the others go on.
 */
final class StepLoop implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(StepLoop.class);

    private final StepModel model;
    private final Scheduler scheduler;
    private final Sequences owner;
    private final Thread thread;
    private final ConcurrentLinkedQueue<Sequence> inbox = new ConcurrentLinkedQueue<>();
    private final AtomicInteger inboxSize = new AtomicInteger();
    /** The sequence and the position of each output row of a step. */
    private final @Nullable Sequence[] rowSequence;

    private final int[] rowPosition;
    private long arrivals;

    private volatile boolean signaled;
    private volatile boolean stopRequested;
    private volatile boolean closing;
    private volatile boolean ended;

    // Counters that other threads read; the engine thread alone writes them.
    private volatile int running;
    private volatile int waiting;
    private volatile int usedPages;
    private volatile long preemptions;
    private volatile long promptTokens;
    private volatile long generatedTokens;
    private volatile long draftedTokens;
    private volatile long acceptedTokens;

    /** Who counts sequences. */
    interface Sequences {
        /** A sequence ended and its pages are free; called before it tells its readers. */
        void ended(Sequence s);

        /** The loop ends and the model's memory is free. */
        void loopEnded();
    }

    StepLoop(StepModel model, Scheduler scheduler, Sequences owner, String threadName) {
        this.model = model;
        this.scheduler = scheduler;
        this.owner = owner;
        int rows = model.batch().maxTokens();
        rowSequence = new Sequence[rows];
        rowPosition = new int[rows];
        thread = new Thread(this, threadName);
        thread.setDaemon(true);
    }

    Thread thread() {
        return thread;
    }

    int running() {
        return running;
    }

    int waiting() {
        return waiting + inboxSize.get();
    }

    long preemptions() {
        return preemptions;
    }

    int usedPages() {
        return usedPages;
    }

    long promptTokens() {
        return promptTokens;
    }

    long generatedTokens() {
        return generatedTokens;
    }

    long draftedTokens() {
        return draftedTokens;
    }

    long acceptedTokens() {
        return acceptedTokens;
    }

    /** Hands a sequence over. Returns whether it was taken; after the end none is. */
    boolean submit(Sequence s) {
        inboxSize.incrementAndGet();
        inbox.add(s);
        wake();
        // The loop sets ended before it looks into the inbox for the last time.
        return !ended || !inbox.remove(s);
    }

    /** Ends a sequence before the next step. */
    void stop(Sequence s) {
        s.requestStop();
        stopRequested = true;
        wake();
    }

    /** Ends all sequences and the loop before the next step. */
    void close() {
        closing = true;
        wake();
    }

    /** Makes the loop look again. */
    void wake() {
        if (!signaled) {
            signaled = true;
            LockSupport.unpark(thread);
        }
    }

    @Override
    public void run() {
        Throwable fatal = null;
        try {
            while (!closing) {
                step();
            }
        } catch (Throwable t) {
            LOG.error("the engine failed and closes the model", t);
            fatal = t;
        } finally {
            endAll(fatal);
        }
    }

    private void endAll(@Nullable Throwable fatal) {
        ended = true;
        takeInbox();
        scheduler.removeIf(s -> true, s -> {
            end(s);
            if (fatal == null) {
                s.modelClosed();
            } else {
                s.failed(fatal);
            }
        });
        running = 0;
        waiting = 0;
        usedPages = 0;
        try {
            model.close();
        } catch (Throwable t) {
            LOG.error("the memory of the model could not be freed", t);
        }
        owner.loopEnded();
    }

    private void end(Sequence s) {
        s.markEnded();
        count();
        owner.ended(s);
    }

    private void count() {
        running = scheduler.running() + scheduler.paused();
        waiting = scheduler.waiting();
        usedPages = scheduler.usedPages();
        preemptions = scheduler.preemptions();
    }

    private void takeInbox() {
        Sequence s;
        while ((s = inbox.poll()) != null) {
            s.arrival = arrivals++;
            scheduler.add(s);
            waiting = scheduler.waiting();
            inboxSize.decrementAndGet();
        }
    }

    private void step() {
        signaled = false;
        takeInbox();
        if (stopRequested) {
            stopRequested = false;
            scheduler.removeIf(Sequence::stopRequested, s -> {
                end(s);
                s.cancelled();
            });
        }
        int tokens = scheduler.plan();
        count();
        if (tokens == 0) {
            while (!signaled) {
                LockSupport.park(this);
            }
            return;
        }
        int rows = 0;
        try {
            rows = fill();
            model.forward();
            int decoded = 0;
            for (int i = 0; i < scheduler.running(); i++) {
                Sequence s = scheduler.running(i);
                decoded += s.decoding() ? s.planned : 0;
                s.computed += s.planned;
            }
            promptTokens = promptTokens + tokens - decoded;
            draftedTokens = draftedTokens + scheduler.drafted();
            output(rows);
        } catch (Throwable t) {
            failStep(t);
        }
        for (int r = 0; r < rows; r++) {
            rowSequence[r] = null;
        }
        endComplete();
    }

    private int fill() {
        Batch batch = model.batch();
        batch.clear();
        int rows = 0;
        for (int i = 0; i < scheduler.running(); i++) {
            Sequence s = scheduler.running(i);
            if (s.planned == 0) {
                continue;
            }
            s.start();
            PageTable pages = Objects.requireNonNull(s.pages);
            batch.beginSequence(s.computed, pages.pages(), pages.count(), s.promptLength, s.stretched());
            if (s.sparseRest() > 0) {
                batch.markSparse();
            }
            for (int p = s.computed; p < s.computed + s.planned + s.drafted; p++) {
                boolean output = s.wantsOutput(p);
                batch.addToken(s.tokens[p], output);
                if (output) {
                    rowSequence[rows] = s;
                    rowPosition[rows++] = p;
                }
            }
        }
        return rows;
    }

    private void output(int rows) {
        long nanos = System.nanoTime();
        int first = 0;
        while (first < rows) {
            if (!rowSequence[first].wantsLogits()) {
                outputRow(first, first, nanos);
                first++;
                continue;
            }
            int end = first + 1;
            while (end < rows && end - first < model.maxLogitsRows() && rowSequence[end].wantsLogits()) {
                end++;
            }
            model.computeLogits(first, end - first);
            select(first, end);
            for (int r = first; r < end; r++) {
                outputRow(r, first, nanos);
            }
            first = end;
        }
    }

    /** Asks for what the sequences of some rows need of their logits, where that is cheaper than to look at them. */
    private void select(int first, int end) {
        LogitSelection selection = model.selection();
        if (selection == null) {
            return;
        }
        selection.begin();
        for (int r = first; r < end; r++) {
            Sequence s = rowSequence[r];
            if (s == null || s.ended()) {
                continue;
            }
            try {
                s.select(rowPosition[r], selection, r - first);
            } catch (Throwable t) {
                fail(s, t);
            }
        }
        if (!selection.isEmpty()) {
            model.select();
        }
    }

    /**
     * Hands a row to its sequence; an error there is that sequence's alone.
     *
     * @param first row of the first logits there are
     */
    private void outputRow(int r, int first, long nanos) {
        Sequence s = rowSequence[r];
        if (s == null || s.ended()) {
            return;
        }
        try {
            int before = s.length;
            int computed = s.computed;
            if (!s.wantsLogits()) {
                s.output(rowPosition[r], model.hidden(), r * model.hiddenSize(), nanos);
            } else if (!outputSelected(r, r - first, nanos)) {
                s.output(rowPosition[r], model.logits(), (r - first) * model.outputs(), nanos);
            }
            if (s.length > before) {
                generatedTokens = generatedTokens + 1;
            }
            if (s.computed > computed) {
                acceptedTokens = acceptedTokens + 1;
            }
        } catch (Throwable t) {
            fail(s, t);
        }
    }

    private boolean outputSelected(int r, int row, long nanos) {
        LogitSelection selection = model.selection();
        return selection != null && selection.has(row) && rowSequence[r].output(rowPosition[r], selection, row, nanos);
    }

    private void fail(Sequence s, Throwable cause) {
        scheduler.remove(s);
        end(s);
        s.failed(cause instanceof QwenException ? cause : new GenerationException("the engine failed: " + cause, cause));
    }

    private void failStep(Throwable cause) {
        LOG.warn("a step failed; its requests fail with it", cause);
        for (int i = scheduler.running() - 1; i >= 0; i--) {
            if (scheduler.running(i).planned > 0) {
                fail(scheduler.running(i), cause);
            }
        }
    }

    private void endComplete() {
        for (int i = scheduler.running() - 1; i >= 0; i--) {
            Sequence s = scheduler.running(i);
            if (s.planned == 0) {
                continue;
            }
            scheduler.drop(s);
            try {
                s.afterStep();
                if (s.complete()) {
                    scheduler.remove(s);
                    end(s);
                    s.completed();
                } else if (s.plainRoom() < 0) {
                    scheduler.stretch(s);
                }
            } catch (Throwable t) {
                fail(s, t);
            }
        }
    }
}
