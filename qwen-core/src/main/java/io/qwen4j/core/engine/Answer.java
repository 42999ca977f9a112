package io.qwen4j.core.engine;

import io.qwen4j.FinishReason;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationException;
import io.qwen4j.GenerationResult;
import io.qwen4j.QwenException;
import io.qwen4j.Timings;
import io.qwen4j.TokenLogProbability;
import io.qwen4j.Usage;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * An answer on its way from the engine thread to its readers. The engine thread writes tokens into a ring; the delivery thread turns them
 * into text, tool calls and events, and finds stop strings. What the engine chose behind a stop string is not read: the answer ends
 * exactly there, however far the engine was ahead.
 */
final class Answer {
    private final TokenRing ring;
    private final AnswerText text;
    private final EventBuffer events;
    private final Delivery delivery;
    private final Delivery.Mail mail = new Delivery.Mail(this::deliver);
    private final int promptTokens;
    private final BitSet endTokens;
    private final long submitted;
    private final Runnable wakeEngine;
    /** Called on the delivery thread, once. */
    private final End end;

    /** Whether the buffer of events, not the ring, is why the sequence is paused. Of the engine thread. */
    private boolean readerSlow;

    // Written by the engine thread, read by the delivery thread.
    private volatile long started;
    private volatile @Nullable Ending ending;
    /** Whether the sequence is paused, or about to be. */
    private volatile boolean wakeWanted;

    // Of the delivery thread.
    private final List<Integer> tokens = new ArrayList<>();
    private final List<TokenLogProbability> logProbabilities = new ArrayList<>();
    private boolean announced;
    private long firstToken;
    private long lastToken;
    private volatile boolean finished;

    /** Hears of the end of an answer. */
    interface End {
        /** One of both is null. */
        void ended(@Nullable GenerationResult result, @Nullable QwenException error);
    }

    private record Ending(FinishReason reason, @Nullable Throwable error, long nanos) {}

    /**
     * Makes an empty answer.
     *
     * @param withLogProbabilities whether they are asked for
     * @param endTokens ids that end the answer
     * @param wakeEngine run when the engine waits for room in the ring and there is some
     */
    Answer(
            int promptTokens,
            boolean withLogProbabilities,
            BitSet endTokens,
            AnswerText text,
            EventBuffer events,
            Delivery delivery,
            Runnable wakeEngine,
            End end) {
        this.promptTokens = promptTokens;
        this.ring = new TokenRing(withLogProbabilities);
        this.endTokens = endTokens;
        this.text = text;
        this.events = events;
        this.delivery = delivery;
        this.wakeEngine = wakeEngine;
        this.end = end;
        this.submitted = System.nanoTime();
    }

    /** Whether the sequence must pause. Engine thread. */
    boolean full() {
        if (!overfull()) {
            return false;
        }
        // First the wish, then another look: whoever makes room between the two sees the wish.
        wakeWanted = true;
        return overfull();
    }

    private boolean overfull() {
        int waiting = ring.waiting();
        readerSlow = events.holding() + waiting >= Generation.EVENT_BUFFER;
        return readerSlow || waiting == TokenRing.CAPACITY;
    }

    /** Tokens that may be written before the sequence must pause. Engine thread. */
    int room() {
        int waiting = ring.waiting();
        return Math.min(TokenRing.CAPACITY - waiting, Generation.EVENT_BUFFER - events.holding() - waiting);
    }

    /** Whether a paused sequence may go on. Engine thread. */
    boolean hasRoom() {
        if (roomy()) {
            return true;
        }
        wakeWanted = true;
        return roomy();
    }

    private boolean roomy() {
        int waiting = ring.waiting();
        int all = events.holding() + waiting;
        // Once the reader was too slow, it must have read a good part; when only the ring was full, some room there is enough.
        readerSlow = all > (readerSlow ? EventBuffer.RESUME_AT + TokenRing.CAPACITY : Generation.EVENT_BUFFER - 1);
        return !readerSlow && waiting <= TokenRing.CAPACITY / 2;
    }

    /** The first step begins. Engine thread. */
    void started(long nanos) {
        started = nanos;
        delivery.post(mail);
    }

    /** Adds a token. Engine thread. */
    void write(int id, long nanos, @Nullable TokenLogProbability logProbability) {
        ring.write(id, nanos, logProbability);
        delivery.post(mail);
    }

    /** No more tokens will come. Engine thread, once. */
    void end(FinishReason reason, @Nullable Throwable error) {
        ending = new Ending(reason, error, System.nanoTime());
        delivery.post(mail);
    }

    /** Turns what has come into events. Delivery thread. */
    void deliver() {
        if (finished) {
            return;
        }
        try {
            Ending last = ending;
            if (!announced && started != 0) {
                announced = true;
                events.push(new GenerationEvent.Started(promptTokens));
            }
            while (!finished && ring.waiting() > 0) {
                deliverToken();
            }
            if (wakeWanted) {
                wakeWanted = false;
                wakeEngine.run();
            }
            // Read before the ring: all tokens before the end are delivered now.
            if (!finished && last != null) {
                finish(last);
            }
        } catch (Throwable t) {
            fail(new GenerationException("the answer could not be turned into text: " + t, t));
        }
    }

    private void deliverToken() {
        int id = ring.id();
        long nanos = ring.nanos();
        TokenLogProbability probability = ring.logProbability();
        ring.advance();
        if (tokens.isEmpty()) {
            firstToken = nanos;
        }
        lastToken = nanos;
        tokens.add(id);
        if (probability != null) {
            logProbabilities.add(probability);
        }
        events.push(new GenerationEvent.Token(id, probability));
        if (!endTokens.get(id)) {
            text.token(id, events::push);
            String stop = text.stop();
            if (stop != null) {
                finish(FinishReason.STOP, stop, nanos);
            }
        }
    }

    private void finish(Ending last) {
        if (last.error != null) {
            Throwable error = last.error;
            fail(error instanceof QwenException typed ? typed : new GenerationException("the engine failed: " + error, error));
            return;
        }
        text.finish(events::push);
        String stop = text.stop();
        boolean turnEnded = last.reason == FinishReason.STOP;
        if (stop == null && turnEnded && !text.toolCalls().isEmpty()) {
            finish(FinishReason.TOOL_CALLS, null, last.nanos);
        } else {
            finish(stop == null ? last.reason : FinishReason.STOP, stop, last.nanos);
        }
    }

    private void finish(FinishReason reason, @Nullable String stop, long nanos) {
        finished = true;
        long begun = started;
        Duration queued = Duration.ofNanos((begun == 0 ? nanos : begun) - submitted);
        Duration prefill = Duration.ofNanos(begun == 0 ? 0 : (tokens.isEmpty() ? nanos : firstToken) - begun);
        Timings timings = new Timings(queued, prefill, Duration.ofNanos(lastToken - firstToken));
        Usage usage = new Usage(promptTokens, tokens.size());
        events.push(new GenerationEvent.Finished(reason, stop, usage, timings));
        end.ended(
                new GenerationResult(text.text(), tokens, text.toolCalls(), logProbabilities, reason, stop, usage, timings), null);
    }

    private void fail(QwenException error) {
        finished = true;
        end.ended(null, error);
    }
}
