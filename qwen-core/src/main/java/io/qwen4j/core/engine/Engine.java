package io.qwen4j.core.engine;

import io.qwen4j.ContextOverflowException;
import io.qwen4j.EngineStats;
import io.qwen4j.Generation;
import io.qwen4j.ModelClosedException;
import io.qwen4j.QueueFullException;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.sampling.LogProbabilities;
import java.util.BitSet;
import java.util.concurrent.Executor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The threads of a model and the way in and out of them.
 *
 * <p>The engine thread computes and frees the memory, the delivery thread makes events, and threads that come and go run the code of
 * users. Thread-safe.
 */
final class Engine {
    // A callback thread without work for this long ends.
    private static final long IDLE_SECONDS = 5;

    // The bound of GenerationOptions.logProbabilities.
    private static final int MOST_ALTERNATIVES = 20;

    private final StepModel model;
    private final KvPages pages;
    private final int maxLength;
    private final int plainLength;
    private final int sparseThreshold;
    private final int places;
    private final LogProbabilities probabilities;
    private final Executor callbacks;
    private final Delivery delivery;
    private final StepLoop loop;
    /** Requests that were accepted, have not ended and are not paused. */
    private final AtomicInteger taken = new AtomicInteger();

    /**
     * Bounds of an engine.
     *
     * @param contextLength longest sequence in tokens
     * @param prefillSlice most prompt tokens of a step
     * @param maxConcurrent most sequences of a step
     * @param queueLimit most requests that wait
     * @param plainLength longest sequence with plain positions; longer ones are stretched
     * @param sparseThreshold longest prompt of a request whose prefill attends to all keys
     */
    record Limits(
            int contextLength, int prefillSlice, int maxConcurrent, int queueLimit, int plainLength, int sparseThreshold) {
        /** No prompt is prefilled sparsely. */
        static final int NEVER_SPARSE = Integer.MAX_VALUE;

        /** Bounds of an engine without sparse prefill. */
        Limits(int contextLength, int prefillSlice, int maxConcurrent, int queueLimit, int plainLength) {
            this(contextLength, prefillSlice, maxConcurrent, queueLimit, plainLength, NEVER_SPARSE);
        }

        /** Bounds of an engine that stretches nothing. */
        Limits(int contextLength, int prefillSlice, int maxConcurrent, int queueLimit) {
            this(contextLength, prefillSlice, maxConcurrent, queueLimit, LongContext.ALWAYS_PLAIN);
        }
    }

    /**
     * Starts the threads. The engine owns the model from here on.
     *
     * @param pages the pool of the model's KV cache
     * @param nameableRows rows of the vocabulary that have a token
     */
    Engine(String name, StepModel model, KvPages pages, Limits limits, int nameableRows) {
        this.model = model;
        this.pages = pages;
        maxLength = (int) Math.min(limits.contextLength, (long) pages.pages() * KvPages.PAGE_TOKENS);
        plainLength = limits.plainLength;
        sparseThreshold = limits.sparseThreshold;
        places = Math.addExact(limits.maxConcurrent, limits.queueLimit);
        probabilities = new LogProbabilities(model.vocabularyRows(), nameableRows, MOST_ALTERNATIVES);
        AtomicInteger threads = new AtomicInteger();
        callbacks = new ThreadPoolExecutor(0, Integer.MAX_VALUE, IDLE_SECONDS, TimeUnit.SECONDS, new SynchronousQueue<>(), task -> {
            Thread thread = new Thread(task, "qwen4j-callback-" + name + "-" + threads.getAndIncrement());
            thread.setDaemon(true);
            return thread;
        });
        delivery = new Delivery("qwen4j-delivery-" + name);
        Counting counting = new Counting();
        Scheduler scheduler = new Scheduler(pages, limits.maxConcurrent, limits.prefillSlice, counting);
        loop = new StepLoop(model, scheduler, counting, "qwen4j-engine-" + name);
        delivery.start();
        loop.thread().start();
    }

    /** Longest sequence: the context, or what the whole cache holds. */
    int maxLength() {
        return maxLength;
    }

    int vocabularyRows() {
        return model.vocabularyRows();
    }

    /** Numbers that the model's head computes for a token. */
    int outputs() {
        return model.outputs();
    }

    /**
     * Checks the tokens of a prompt.
     *
     * @throws ContextOverflowException if they are more than {@link #maxLength()}
     */
    void check(int[] ids) {
        if (ids.length == 0) {
            throw new IllegalArgumentException("the prompt has no tokens");
        }
        if (ids.length > maxLength) {
            throw new ContextOverflowException(ids.length, maxLength);
        }
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabularyRows()) {
                throw new IllegalArgumentException("token " + i + " of the prompt is " + ids[i] + ", the model has the rows 0 to "
                        + (vocabularyRows() - 1));
            }
        }
    }

    int hiddenSize() {
        return model.hiddenSize();
    }

    LogProbabilities probabilities() {
        return probabilities;
    }

    /**
     * A request to be generated.
     *
     * @param prompt token ids, checked, from 1 to {@link #maxLength()}
     * @param maxTokens most tokens of the answer, or 0 for as many as fit
     * @param endTokens ids that end the answer
     * @param alternatives that of {@link io.qwen4j.GenerationOptions#logProbabilities()}
     * @param mostDrafted that of {@link io.qwen4j.GenerationOptions#promptLookup()}
     * @param model the model that users hold
     */
    record Request(
            int[] prompt,
            int maxTokens,
            BitSet endTokens,
            int alternatives,
            int mostDrafted,
            TokenChooser chooser,
            AnswerText text,
            Object model) {}

    /**
     * Takes a request.
     *
     * @throws QueueFullException if too many wait
     */
    Generation generate(Request request) {
        takePlace();
        try {
            return start(request);
        } catch (Throwable t) {
            taken.decrementAndGet();
            throw t;
        }
    }

    /** Starts a request that has a place. If that fails, the place is still taken. */
    private Generation start(Request request) {
        // A prompt that fills the context is answered with one token: the last token chosen needs no room.
        long room = Math.max(1, maxLength - request.prompt.length);
        int answer = (int) (request.maxTokens == 0 ? room : Math.min(room, request.maxTokens));
        Handle handle = new Handle();
        EventBuffer events = new EventBuffer(loop::wake);
        RunningGeneration generation = new RunningGeneration(events, callbacks, handle::stop, request.model);
        Answer out = new Answer(request.prompt.length, request.alternatives >= 0, request.endTokens, request.text, events, delivery,
                loop::wake, (result, error) -> {
                    handle.leave();
                    generation.ended(result, error);
                });
        GenerationSequence sequence = new GenerationSequence(request.prompt, request.prompt.length + answer, request.endTokens,
                request.chooser, request.alternatives < 0 ? null : probabilities, Math.max(0, request.alternatives), request.mostDrafted,
                out);
        // Without a bound it begins as short as its prompt and is stretched when it grows.
        sequence.position(plainLength, request.prompt.length + (request.maxTokens == 0 ? 0 : answer));
        if (request.prompt.length > sparseThreshold) {
            sequence.prefillSparsely();
        }
        sequence.counted.set(true);
        handle.sequence = sequence;
        if (!loop.submit(sequence)) {
            throw new ModelClosedException();
        }
        return generation;
    }

    private void takePlace() {
        int now;
        do {
            now = taken.get();
            if (now >= places) {
                throw new QueueFullException("all " + places + " places for running and waiting requests are taken; try again later, or"
                        + " load the model with a larger queueLimit");
            }
        } while (!taken.compareAndSet(now, now + 1));
    }

    private void release(Sequence s) {
        if (s.counted.compareAndSet(true, false)) {
            taken.decrementAndGet();
        }
    }

    /** Hands a job to the engine. Jobs do not count as waiting requests: their callers wait themselves. */
    <R> Job<R> run(Job<R> job) {
        job.position(plainLength, job.promptLength);
        if (!loop.submit(job)) {
            throw new ModelClosedException();
        }
        return job;
    }

    /** Runs code of users. */
    Executor callbacks() {
        return callbacks;
    }

    void stop(Sequence s) {
        loop.stop(s);
    }

    void wake() {
        loop.wake();
    }

    EngineStats stats() {
        return new EngineStats(loop.running(), loop.waiting(), loop.promptTokens(), loop.generatedTokens(),
                loop.draftedTokens(), loop.acceptedTokens(), (long) loop.usedPages() * KvPages.PAGE_TOKENS,
                (long) pages.pages() * KvPages.PAGE_TOKENS);
    }

    /** How often a running sequence had to give up its pages. */
    long preemptions() {
        return loop.preemptions();
    }

    /** The engine thread, for measuring. */
    Thread thread() {
        return loop.thread();
    }

    /** Asks the engine to end, and waits for it unless called on one of its threads. Idempotent. */
    void close() {
        loop.close();
        if (Thread.currentThread() != loop.thread() && Thread.currentThread() != delivery.thread()) {
            joinUninterruptibly(loop.thread());
            joinUninterruptibly(delivery.thread());
        }
    }

    /** Asks the engine to end. */
    void closeLater() {
        loop.close();
    }

    private static void joinUninterruptibly(Thread thread) {
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** The way from an answer to its sequence, which is made after it. */
    private final class Handle {
        private volatile @Nullable Sequence sequence;

        void stop() {
            Sequence s = sequence;
            if (s != null) {
                loop.stop(s);
            }
        }

        /** The answer is complete: the place is free, and what the engine still computes for it is not wanted. */
        void leave() {
            Sequence s = sequence;
            if (s != null) {
                release(s);
                s.requestStop();
                loop.stop(s);
            }
        }
    }

    private final class Counting implements Scheduler.Places, StepLoop.Sequences {
        @Override
        public void paused(Sequence s) {
            release(s);
        }

        @Override
        public void resumed(Sequence s) {
            if (!s.stopRequested() && s instanceof GenerationSequence && s.counted.compareAndSet(false, true)) {
                taken.incrementAndGet();
            }
        }

        @Override
        public void ended(Sequence s) {
            release(s);
        }

        @Override
        public void loopEnded() {
            delivery.close();
        }
    }
}
