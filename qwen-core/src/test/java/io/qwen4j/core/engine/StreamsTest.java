package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.CancelledException;
import io.qwen4j.FinishReason;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationException;
import io.qwen4j.GenerationResult;
import io.qwen4j.NumericException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The four views of an answer. */
@Timeout(60)
class StreamsTest {
    private static final int[] PROMPT = {1, 2, 3};
    private Fixture f = Fixture.of(FakeModel.HASH);

    @BeforeEach
    void open() {
        f.close();
        f = Fixture.of(FakeModel.HASH);
    }

    @AfterEach
    void close() {
        f.awaitIdle();
        f.close();
    }

    private Generation submit(int tokens) {
        return f.submit(PROMPT.clone(), tokens, -1, new Fixture.Letters(""));
    }

    /** Records signals and checks that they come one after the other. */
    private static class Recorder implements Flow.Subscriber<GenerationEvent> {
        final List<GenerationEvent> events = new ArrayList<>();
        final AtomicReference<Throwable> error = new AtomicReference<>();
        final CountDownLatch ended = new CountDownLatch(1);
        final AtomicInteger inside = new AtomicInteger();
        final AtomicInteger ends = new AtomicInteger();
        final AtomicInteger overlaps = new AtomicInteger();
        volatile Flow.Subscription subscription;

        @Override
        public void onSubscribe(Flow.Subscription s) {
            subscription = s;
        }

        @Override
        public void onNext(GenerationEvent event) {
            overlaps.addAndGet(inside.getAndIncrement());
            events.add(event);
            seen(event);
            inside.decrementAndGet();
        }

        void seen(GenerationEvent event) {}

        @Override
        public void onError(Throwable t) {
            error.set(t);
            ends.incrementAndGet();
            ended.countDown();
        }

        @Override
        public void onComplete() {
            ends.incrementAndGet();
            ended.countDown();
        }

        void await() throws InterruptedException {
            assertTrue(ended.await(20, TimeUnit.SECONDS), "the stream did not end");
        }
    }

    @Test
    void publisherGivesWhatIsRequestedAndNoMore() throws Exception {
        Recorder r = new Recorder();
        submit(10).publisher().subscribe(r);
        assertTrue(r.subscription != null, "onSubscribe comes first");
        for (int n = 1; n <= 5; n++) {
            r.subscription.request(1);
            int wanted = n;
            Fixture.await(n + " events", () -> r.events.size() == wanted);
        }
        Thread.sleep(20);
        assertEquals(5, r.events.size());
        r.subscription.request(Long.MAX_VALUE);
        r.subscription.request(Long.MAX_VALUE);
        r.await();
        assertEquals(22, r.events.size());
        assertEquals(0, r.overlaps.get());
        assertNull(r.error.get());
        r.subscription.cancel();
        r.subscription.request(1);
        r.subscription.request(-1);
        Thread.sleep(5);
        assertEquals(1, r.ends.get());
    }

    @Test
    void publisherDoesNotRecurseWhenRequestedFromWithin() throws Exception {
        AtomicInteger depth = new AtomicInteger();
        AtomicInteger deepest = new AtomicInteger();
        Recorder r = new Recorder() {
            @Override
            public void onSubscribe(Flow.Subscription s) {
                super.onSubscribe(s);
                s.request(1);
            }

            @Override
            void seen(GenerationEvent event) {
                deepest.accumulateAndGet(depth.incrementAndGet(), Math::max);
                subscription.request(1);
                depth.decrementAndGet();
            }
        };
        submit(1500).publisher().subscribe(r);
        r.await();
        assertEquals(1, deepest.get());
        assertEquals(3002, r.events.size());
        assertEquals(0, r.overlaps.get());
    }

    @Test
    void publisherEndsWithAnErrorWhenLessThanOneIsRequested() throws Exception {
        for (long n : new long[] {0, -1, Long.MIN_VALUE}) {
            Recorder r = new Recorder();
            Generation g = submit(0);
            g.publisher().subscribe(r);
            r.subscription.request(n);
            r.await();
            assertInstanceOf(IllegalArgumentException.class, r.error.get());
            assertTrue(r.error.get().getMessage().contains("3.9"), r.error.get().getMessage());
            assertEquals(FinishReason.CANCELLED, g.await().finishReason());
            assertEquals(0, r.events.size());
        }
    }

    @Test
    void publisherTakesOneSubscriber() throws Exception {
        Flow.Publisher<GenerationEvent> publisher = submit(3).publisher();
        assertThrows(NullPointerException.class, () -> publisher.subscribe(null));
        Recorder first = new Recorder();
        Recorder second = new Recorder();
        publisher.subscribe(first);
        publisher.subscribe(second);
        assertInstanceOf(IllegalStateException.class, second.error.get());
        assertTrue(second.subscription != null);
        second.subscription.request(3);
        first.subscription.request(100);
        first.await();
        assertEquals(8, first.events.size());
        assertEquals(0, second.events.size());
    }

    @Test
    void cancelledSubscriptionCancelsTheRequest() throws Exception {
        Recorder r = new Recorder();
        Generation g = submit(0);
        g.publisher().subscribe(r);
        r.subscription.request(2);
        Fixture.await("2 events", () -> r.events.size() == 2);
        r.subscription.cancel();
        assertEquals(FinishReason.CANCELLED, g.await().finishReason());
        assertEquals(0, r.ends.get());
        assertEquals(2, r.events.size());
    }

    @Test
    void subscriberThatThrowsIsCancelled() {
        Recorder r = new Recorder() {
            @Override
            void seen(GenerationEvent event) {
                throw new IllegalStateException("the uncaught exception of a test");
            }
        };
        Generation g = submit(0);
        g.publisher().subscribe(r);
        r.subscription.request(2);
        assertEquals(FinishReason.CANCELLED, g.await().finishReason());
        assertEquals(1, r.events.size());
    }

    @Test
    void failedRequestEndsEveryViewWithItsError() throws Exception {
        f.model.poison = 95;
        int[] bad = {1, 95};
        Recorder r = new Recorder();
        f.submit(bad.clone(), 5).publisher().subscribe(r);
        r.subscription.request(10);
        r.await();
        assertInstanceOf(NumericException.class, r.error.get());
        assertEquals(List.of(new GenerationEvent.Started(2)), r.events);

        Iterator<GenerationEvent> events = f.submit(bad.clone(), 5).events();
        assertEquals(new GenerationEvent.Started(2), events.next());
        assertThrows(NumericException.class, events::hasNext);
        assertThrows(NumericException.class, events::next);

        Generation g = f.submit(bad.clone(), 5);
        ExecutionException e = assertThrows(ExecutionException.class, () -> g.result().get());
        assertInstanceOf(NumericException.class, e.getCause());
        List<GenerationEvent> seen = new ArrayList<>();
        CompletableFuture<GenerationResult> heard = f.submit(bad.clone(), 5).onEvent(seen::add);
        assertInstanceOf(NumericException.class, assertThrows(CompletionException.class, heard::join).getCause());
        assertEquals(1, seen.size());
    }

    @Test
    void eventsAreConsumedOnce() {
        Generation g = submit(3);
        Iterator<GenerationEvent> events = g.events();
        assertThrows(IllegalStateException.class, g::events);
        assertThrows(IllegalStateException.class, g::text);
        assertThrows(IllegalStateException.class, g::publisher);
        assertThrows(IllegalStateException.class, () -> g.onEvent(event -> {}));
        int count = 0;
        while (events.hasNext()) {
            events.next();
            count++;
        }
        assertEquals(8, count);
        assertThrows(NoSuchElementException.class, events::next);
        assertEquals(3, g.await().tokens().size());
    }

    @Test
    void resultBesideTheEvents() throws Exception {
        Generation g = submit(50);
        CompletableFuture<GenerationResult> before = g.result();
        List<GenerationEvent> events = new ArrayList<>();
        g.events().forEachRemaining(events::add);
        assertEquals(102, events.size());
        assertEquals(before.get(), g.await());
        assertTrue(g.isDone());
        // More than the buffer without a reader: dropped, and said so.
        Generation unread = f.submit(PROMPT.clone(), 1500);
        assertEquals(1500, unread.result().get().tokens().size());
        assertThrows(IllegalStateException.class, unread::events);
    }

    @Test
    void textIsAStreamAndClosingItCancels() {
        String whole = String.join("", submit(40).text().toList());
        assertEquals(40, whole.length());
        Generation g = submit(0);
        try (Stream<String> text = g.text()) {
            assertEquals(whole.substring(0, 5), String.join("", text.limit(5).toList()));
        }
        assertEquals(FinishReason.CANCELLED, g.await().finishReason());
        try (Generation closed = submit(0)) {
            assertFalse(closed.isDone());
        }
    }

    @Test
    void cancelledFutureCancelsTheRequest() {
        Generation g = submit(0);
        CompletableFuture<GenerationResult> mine = g.result();
        CompletableFuture<GenerationResult> other = g.result();
        assertTrue(mine.cancel(true));
        assertEquals(FinishReason.CANCELLED, other.join().finishReason());
        assertTrue(mine.isCancelled());
        assertFalse(g.cancel());
    }

    @Test
    void interruptedReaderCancels() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        f.model.onStep = () -> {
            try {
                go.await(20, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        };
        for (int view = 0; view < 2; view++) {
            Generation g = submit(0);
            boolean awaits = view == 0;
            AtomicReference<Throwable> thrown = new AtomicReference<>();
            CountDownLatch interrupted = new CountDownLatch(1);
            Thread reader = new Thread(() -> {
                try {
                    if (awaits) {
                        g.await();
                    } else {
                        g.events().forEachRemaining(event -> {});
                    }
                } catch (CancelledException e) {
                    thrown.set(e);
                }
                if (Thread.currentThread().isInterrupted()) {
                    interrupted.countDown();
                }
            });
            reader.start();
            Thread.sleep(5);
            reader.interrupt();
            assertTrue(interrupted.await(20, TimeUnit.SECONDS));
            assertInstanceOf(CancelledException.class, thrown.get());
            go.countDown();
            assertEquals(FinishReason.CANCELLED, g.await().finishReason());
        }
    }

    @Test
    void callbackThatThrowsFailsTheResult() {
        Generation g = submit(3);
        RuntimeException mine = new RuntimeException("mine");
        CompletableFuture<GenerationResult> heard = g.onEvent(event -> {
            throw mine;
        });
        GenerationException e = assertThrows(GenerationException.class, g::await);
        assertSame(mine, e.getCause());
        assertSame(e, assertThrows(CompletionException.class, heard::join).getCause());
        assertSame(e, assertThrows(CompletionException.class, () -> g.result().join()).getCause());
    }

    @Test
    void callbackMayBlockCancelAndCloseButNotAwaitItself() {
        Generation other = submit(30);
        Generation blocked = submit(2000);
        CountDownLatch go = new CountDownLatch(1);
        blocked.onEvent(event -> {
            try {
                go.await(20, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });
        assertEquals(30, other.await().tokens().size());
        go.countDown();
        assertEquals(FinishReason.LENGTH, blocked.await().finishReason());

        Generation g = submit(0);
        assertEquals(FinishReason.CANCELLED, g.onEvent(event -> g.cancel()).join().finishReason());
        Generation self = submit(5);
        GenerationException e = assertThrows(GenerationException.class, () -> {
            self.onEvent(event -> self.await());
            self.await();
        });
        assertInstanceOf(IllegalStateException.class, e.getCause());
        // A callback that closes the model.
        Generation last = submit(0);
        assertEquals(FinishReason.CANCELLED, last.onEvent(event -> f.engine.close()).join().finishReason());
    }

    @Test
    void dependentsOfAFutureDoNotHoldUpOthers() {
        CountDownLatch go = new CountDownLatch(1);
        CompletableFuture<Void> stuck = submit(3).result().thenAccept(result -> {
            try {
                go.await(20, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });
        assertEquals(100, submit(100).await().tokens().size());
        go.countDown();
        stuck.join();
    }
}
