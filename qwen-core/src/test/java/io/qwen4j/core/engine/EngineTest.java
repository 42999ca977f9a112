package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.FinishReason;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationException;
import io.qwen4j.GenerationResult;
import io.qwen4j.NumericException;
import io.qwen4j.QueueFullException;
import io.qwen4j.Usage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class EngineTest {
    private static int[] prompt(int seed, int length) {
        return new java.util.Random(seed).ints(length, 0, 90).toArray();
    }

    private static int[] ids(GenerationResult result) {
        return result.tokens().stream().mapToInt(i -> i).toArray();
    }

    @Test
    void answersAreThoseOfTheModelWhateverRunsBeside() {
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            List<Generation> all = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                all.add(f.submit(prompt(i, 1 + 37 * i % 130), 40 + i));
            }
            for (int i = 0; i < 20; i++) {
                GenerationResult result = all.get(i).await();
                int[] prompt = prompt(i, 1 + 37 * i % 130);
                assertArrayEquals(FakeModel.expected(FakeModel.HASH, prompt, 40 + i, Fixture.END), ids(result), "request " + i);
                assertEquals(FinishReason.LENGTH, result.finishReason());
                assertEquals(new Usage(prompt.length, 40 + i), result.usage());
                assertTrue(all.get(i).isDone());
                assertFalse(all.get(i).cancel());
            }
            f.awaitIdle();
            assertTrue(f.model.mostSequences == 4 && f.model.largestBatch <= 36, f.model.mostSequences + " " + f.model.largestBatch);
            assertEquals(20 * 40 + 190, f.engine.stats().generatedTokens());
        }
    }

    @Test
    void endTokenEndsTheAnswerAndIsPartOfItsTokens() {
        FakeModel.Script script = (tokens, length) -> length == 9 ? Fixture.END : length;
        try (Fixture f = Fixture.of(script)) {
            Generation g = f.submit(prompt(1, 5), 100, -1, new Fixture.Letters(""));
            List<GenerationEvent> events = new ArrayList<>();
            g.events().forEachRemaining(events::add);
            GenerationResult result = g.await();
            assertArrayEquals(new int[] {5, 6, 7, 8, Fixture.END}, ids(result));
            assertEquals("fghi", result.text());
            assertEquals(FinishReason.STOP, result.finishReason());
            assertNull(result.stop());
            assertEquals(new GenerationEvent.Started(5), events.get(0));
            assertEquals(1 + 5 + 4 + 1, events.size());
            assertEquals(new GenerationEvent.Token(Fixture.END, null), events.get(events.size() - 2));
            assertInstanceOf(GenerationEvent.Finished.class, events.get(events.size() - 1));
        }
    }

    @Test
    void stopStringEndsTheAnswerExactlyHoweverFarTheEngineIsAhead() {
        FakeModel.Script alphabet = (tokens, length) -> length % 26;
        for (int round = 0; round < 200; round++) {
            try (Fixture f = Fixture.of(alphabet)) {
                GenerationResult result = f.submit(new int[] {0}, 0, -1, new Fixture.Letters("klm")).await();
                assertEquals("bcdefghij", result.text());
                assertEquals("klm", result.stop());
                assertEquals(FinishReason.STOP, result.finishReason());
                assertEquals(12, result.tokens().size());
                assertEquals(new Usage(1, 12), result.usage());
                f.awaitIdle();
            }
        }
    }

    @Test
    void aloneARequestMayFillTheWholeCacheAndEndsThere() {
        try (Fixture f = new Fixture(FakeModel.HASH, 3, new Engine.Limits(2048, 32, 4, 10))) {
            assertEquals(96, f.engine.maxLength());
            GenerationResult result = f.submit(prompt(3, 10), 0).await();
            assertEquals(FinishReason.LENGTH, result.finishReason());
            assertEquals(new Usage(10, 86), result.usage());
            // A prompt that fills the context: its last token still has a successor.
            assertEquals(new Usage(96, 1), f.submit(prompt(3, 96), 0).await().usage());
        }
    }

    @Test
    void requestsThatDoNotFitTogetherAllFinish() {
        try (Fixture f = new Fixture(FakeModel.HASH, 5, new Engine.Limits(2048, 16, 4, 100))) {
            List<Generation> all = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                all.add(f.submit(prompt(i, 20 + 7 * i), 60));
            }
            for (int i = 0; i < 12; i++) {
                int[] prompt = prompt(i, 20 + 7 * i);
                assertArrayEquals(FakeModel.expected(FakeModel.HASH, prompt, 60, Fixture.END), ids(all.get(i).await()), "request " + i);
            }
            f.awaitIdle();
        }
    }

    @Test
    void cancelDuringPrefillWaitsForOneSliceAtMost() throws Exception {
        CountDownLatch inStep = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            f.model.onStep = () -> {
                inStep.countDown();
                awaitLatch(go);
            };
            Generation g = f.submit(prompt(1, 1500), 10);
            inStep.await();
            assertTrue(g.cancel());
            go.countDown();
            GenerationResult result = g.await();
            assertEquals(FinishReason.CANCELLED, result.finishReason());
            assertEquals(0, result.tokens().size());
            assertEquals(1, f.model.steps.get());
            f.awaitIdle();
        }
    }

    private static void awaitLatch(CountDownLatch latch) {
        try {
            latch.await(20, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void queueIsBounded() throws Exception {
        CountDownLatch inStep = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        try (Fixture f = new Fixture(FakeModel.HASH, 64, new Engine.Limits(2048, 32, 1, 2))) {
            f.model.onStep = () -> {
                inStep.countDown();
                awaitLatch(go);
            };
            List<Generation> accepted = new ArrayList<>(List.of(f.submit(prompt(1, 4), 5)));
            inStep.await();
            accepted.add(f.submit(prompt(2, 4), 5));
            accepted.add(f.submit(prompt(3, 4), 5));
            assertEquals(2, f.engine.stats().waiting());
            assertThrows(QueueFullException.class, () -> f.submit(prompt(4, 4), 5));
            accepted.get(1).cancel();
            go.countDown();
            assertEquals(FinishReason.CANCELLED, accepted.get(1).await().finishReason());
            assertEquals(5, accepted.get(0).await().tokens().size());
            assertEquals(5, accepted.get(2).await().tokens().size());
            assertEquals(5, f.submit(prompt(4, 4), 5).await().tokens().size());
        }
    }

    @Test
    void nanInOneRowFailsThatRequestOnly() {
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            f.model.poison = 95;
            Generation good = f.submit(prompt(1, 50), 200);
            Generation bad = f.submit(new int[] {1, 2, 95}, 10);
            assertThrows(NumericException.class, bad::await);
            assertTrue(bad.isDone());
            assertEquals(200, good.await().tokens().size());
        }
    }

    @Test
    void failedStepFailsItsRequestsAndTheEngineLives() {
        AtomicBoolean fail = new AtomicBoolean(true);
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            f.model.onStep = () -> {
                if (fail.getAndSet(false)) {
                    throw new OutOfMemoryError("simulated");
                }
            };
            Generation bad = f.submit(prompt(1, 5), 10);
            GenerationException e = assertThrows(GenerationException.class, bad::await);
            assertInstanceOf(OutOfMemoryError.class, e.getCause());
            assertEquals(10, f.submit(prompt(1, 5), 10).await().tokens().size());
            f.awaitIdle();
        }
    }

    @Test
    void logProbabilitiesAreThoseOfTheRow() {
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            GenerationResult result = f.submit(prompt(1, 5), 7, 3, AnswerText.NONE).await();
            assertEquals(7, result.logProbabilities().size());
            result.logProbabilities().forEach(p -> {
                assertEquals(3, p.alternatives().size());
                assertEquals(p.id(), p.alternatives().get(0).id());
                assertEquals(p.logProbability(), p.alternatives().get(0).logProbability());
                double sum = Math.exp(5);
                for (int i = 0; i < FakeModel.ROWS; i++) {
                    sum += i == p.id() ? 0 : Math.exp(-(i % 7));
                }
                assertEquals(5 - Math.log(sum), p.logProbability(), 1e-5);
                // Ties to the lower id: the rows 0, 7, 14, ... have logit 0.
                assertEquals(p.id() == 0 ? 7 : 0, p.alternatives().get(1).id());
            });
            assertTrue(f.submit(prompt(1, 5), 7).await().logProbabilities().isEmpty());
        }
    }

    @Test
    void closeEndsRunningAndWaitingRequests() {
        Fixture f = Fixture.of(FakeModel.HASH);
        List<Generation> all = new ArrayList<>();
        for (int i = 0; i < 30; i++) {
            all.add(f.submit(prompt(i, 300), 0));
        }
        f.close();
        all.forEach(g -> assertEquals(FinishReason.CANCELLED, g.await().finishReason()));
        assertThrows(io.qwen4j.ModelClosedException.class, () -> f.submit(prompt(1, 1), 1));
        f.engine.close();
        assertEquals(1, f.model.closes.get());
    }

    @Test
    void withoutAThreadForItsReaderAnAnswerFailsAndDoesNotHang() {
        EventBuffer events = new EventBuffer(() -> {});
        List<Runnable> begun = new ArrayList<>();
        RunningGeneration g = new RunningGeneration(events, task -> {
            if (!begun.isEmpty()) {
                throw new OutOfMemoryError("unable to create native thread");
            }
            begun.add(task);
        }, () -> {}, this);
        g.onEvent(event -> {});
        begun.get(0).run();
        var whole = g.result();
        g.ended(new GenerationResult("", List.of(), List.of(), List.of(), FinishReason.STOP, null, new Usage(1, 0),
                new io.qwen4j.Timings(java.time.Duration.ZERO, java.time.Duration.ZERO, java.time.Duration.ZERO)), null);
        assertInstanceOf(OutOfMemoryError.class, assertThrows(GenerationException.class, g::await).getCause());
        assertTrue(whole.isCompletedExceptionally());
    }

    @Test
    void anAnswerThatNobodyReadsPausesWithoutHoldingUpOthers() {
        try (Fixture f = new Fixture(FakeModel.HASH, 200, new Engine.Limits(6000, 32, 1, 10))) {
            Generation unread = f.submit(prompt(1, 5), 3000);
            Fixture.await("the buffer to fill", () -> f.engine.stats().generatedTokens() >= Generation.EVENT_BUFFER - 1);
            // One place only: the paused request gives it up.
            assertEquals(50, f.submit(prompt(2, 5), 50).await().tokens().size());
            assertTrue(f.engine.stats().generatedTokens() <= Generation.EVENT_BUFFER + 50, f.engine.stats().toString());
            assertFalse(unread.isDone());
            // Reading makes it go on; nothing is lost.
            int[] tokens = new int[3000];
            int count = 0;
            var events = unread.events();
            while (events.hasNext()) {
                if (events.next() instanceof GenerationEvent.Token t) {
                    tokens[count++] = t.id();
                }
            }
            assertEquals(3000, count);
            assertArrayEquals(FakeModel.expected(FakeModel.HASH, prompt(1, 5), 3000, Fixture.END), tokens);
            assertEquals(3000, unread.await().tokens().size());
        }
    }

    @Test
    void aPausedAnswerGivesItsPagesToOthersAndGoesOn() {
        try (Fixture f = new Fixture(FakeModel.HASH, 60, new Engine.Limits(1920, 64, 2, 10))) {
            Generation unread = f.submit(prompt(1, 5), 1500);
            Fixture.await("the buffer to fill", () -> f.engine.stats().generatedTokens() >= Generation.EVENT_BUFFER - 1);
            // Needs nearly the whole cache.
            assertEquals(100, f.submit(prompt(2, 1700), 100).await().tokens().size());
            GenerationResult whole = unread.await();
            assertArrayEquals(FakeModel.expected(FakeModel.HASH, prompt(1, 5), 1500, Fixture.END), ids(whole));
            assertTrue(Arrays.stream(ids(whole)).allMatch(i -> i < 90));
        }
    }
}
