package io.qwen4j;

import java.util.Iterator;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * One request and its answer, as it comes. Exists before anything is computed; can be cancelled from any thread at any time.
 *
 * <p>There is one stream of events. It is consumed once, through one of {@link #events()}, {@link #text()}, {@link #publisher()} and
 * {@link #onEvent(Consumer)}; a second call of any of them throws {@link IllegalStateException}. {@link #result()} is beside them and may be
 * used with or without. When {@value #EVENT_BUFFER} events wait for a slow reader, the request pauses without holding up other requests. Only
 * if nobody has asked for the events and {@link #result()} or {@link #await()} was called, the request goes on instead and the events are
 * dropped; asking for them later throws {@link IllegalStateException}.
 *
 * <p>Thread-safe. No computing happens on the reader's thread, and none of the readers' code runs on the thread that computes.
 */
public interface Generation extends AutoCloseable {
    /** Events that wait for a slow reader before the request pauses. */
    int EVENT_BUFFER = 1024;

    /**
     * The events as a blocking iterator. Interrupting the waiting thread cancels the request.
     *
     * @return an iterator whose methods throw {@link QwenException} if the request fails, after the events that came before
     */
    Iterator<GenerationEvent> events();

    /**
     * The text as a blocking stream. Closing the stream cancels the request.
     *
     * @return the pieces of {@link GenerationEvent.TextDelta}
     */
    Stream<String> text();

    /**
     * The events as a publisher for one subscriber. Cancelling the subscription cancels the request.
     *
     * @return the publisher
     */
    Flow.Publisher<GenerationEvent> publisher();

    /**
     * Hands each event to a callback, on a thread of this library's own. The answer is complete for {@link #result()} and {@link #await()}
     * when the callback has returned from the last event, so the callback must not wait for its own answer.
     *
     * @param callback receives the events in order; an exception it throws cancels the request and fails the result with a {@link
     *     GenerationException}
     * @return the whole answer
     */
    CompletableFuture<GenerationResult> onEvent(Consumer<? super GenerationEvent> callback);

    /**
     * The whole answer. Cancelling the future cancels the request. A cancelled request completes normally with what came until then and
     * {@link FinishReason#CANCELLED}, unless the future itself was cancelled.
     *
     * @return a future that fails with a {@link QwenException} if the request fails
     */
    CompletableFuture<GenerationResult> result();

    /**
     * Waits for the whole answer. Interrupting the waiting thread cancels the request.
     *
     * @return the answer
     * @throws CancelledException if the waiting thread was interrupted
     * @throws QwenException if the request fails
     */
    GenerationResult await();

    /**
     * Asks the engine to stop. Returns at once; the request ends within one step (at most {@link LoadOptions#prefillSlice()} tokens).
     *
     * @return whether the request was still running
     */
    boolean cancel();

    /**
     * Whether the answer is complete, failed or cancelled.
     *
     * @return whether nothing more will come
     */
    boolean isDone();

    /** Cancels the request if it is still running. */
    @Override
    void close();
}
