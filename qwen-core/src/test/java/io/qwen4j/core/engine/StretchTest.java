package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationResult;
import io.qwen4j.Pooling;
import io.qwen4j.Usage;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which sequences are stretched, and those that outgrow plain positions while they run. */
@Timeout(60)
class StretchTest {
    private static final int PLAIN = 100;

    private static Fixture fixture(FakeModel.Script script, int pages, int plainLength) {
        return new Fixture(script, pages, new Engine.Limits(6000, 32, 4, 100, plainLength));
    }

    private static int[] prompt(int seed, int length) {
        return new java.util.Random(seed).ints(length, 0, 90).toArray();
    }

    private static int[] ids(GenerationResult result) {
        return result.tokens().stream().mapToInt(i -> i).toArray();
    }

    private static int[] expected(int[] prompt, int count, boolean bounded) {
        return FakeModel.expected(FakeModel.HASH, prompt, count, Fixture.END, PLAIN, bounded);
    }

    @Test
    void aRequestWithABoundIsDecidedWhenItIsSubmitted() {
        try (Fixture f = fixture(FakeModel.HASH, 64, PLAIN)) {
            int[] prompt = prompt(1, 40);
            assertArrayEquals(expected(prompt, 60, true), ids(f.submit(prompt, 60).await()));
            assertTrue(f.model.sawPlain && !f.model.sawStretched);
            assertEquals(40, f.model.promptLength);
            f.model.sawPlain = false;
            assertArrayEquals(expected(prompt, 61, true), ids(f.submit(prompt, 61).await()));
            assertTrue(f.model.sawStretched && !f.model.sawPlain);
            assertEquals(40, f.model.promptLength);
            // Nothing was computed twice.
            assertEquals(80, f.engine.stats().promptTokens());
        }
    }

    @Test
    void aBoundBeyondTheContextCountsAsTheContext() {
        try (Fixture f = fixture(FakeModel.HASH, 3, PLAIN)) {
            assertEquals(96, f.engine.maxLength());
            assertEquals(new Usage(40, 56), f.submit(prompt(1, 40), 1_000_000).await().usage());
            assertFalse(f.model.sawStretched);
        }
    }

    @Test
    void aRequestWithoutABoundIsStretchedWhenItOutgrowsPlainPositions() {
        FakeModel.Script ending = (tokens, length) -> length == 150 ? Fixture.END : FakeModel.HASH.next(tokens, length);
        try (Fixture f = fixture(ending, 64, PLAIN)) {
            int[] prompt = prompt(2, 40);
            List<Integer> heard = new ArrayList<>();
            Generation g = f.submit(prompt, 0);
            g.events().forEachRemaining(event -> {
                if (event instanceof GenerationEvent.Token token) {
                    heard.add(token.id());
                }
            });
            int[] expected = FakeModel.expected(ending, prompt, 1000, Fixture.END, PLAIN, false);
            assertEquals(111, expected.length);
            assertArrayEquals(expected, heard.stream().mapToInt(i -> i).toArray());
            assertArrayEquals(expected, ids(g.await()));
            assertEquals(new Usage(40, 111), g.await().usage());
            assertTrue(f.model.sawPlain && f.model.sawStretched);
            assertEquals(40, f.model.promptLength);
            // The prompt once, then the 101 tokens known when it was stretched.
            assertEquals(40 + 101, f.engine.stats().promptTokens());
            assertEquals(111, f.engine.stats().generatedTokens());
            f.awaitIdle();
        }
    }

    @Test
    void aRequestWithoutABoundThatEndsInTimeStaysPlain() {
        for (int end : new int[] {99, 100}) {
            FakeModel.Script ending = (tokens, length) -> length == end ? Fixture.END : 3;
            try (Fixture f = fixture(ending, 64, PLAIN)) {
                assertEquals(end - 39, f.submit(prompt(2, 40), 0).await().tokens().size());
                assertFalse(f.model.sawStretched);
                // A prompt that is too long already is stretched at once.
                assertEquals(1, f.submit(prompt(2, end + 1), 1).await().tokens().size());
                assertTrue(f.model.sawStretched);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7, 8, 9, 10, 40, 41, 42, 43, 44, 45, 46, 47, 48, 63, 64, 65, 95, 96, 97, 200})
    void tokensComputedAheadStopWherePlainPositionsDo(int plainLength) {
        FakeModel.Script ending = (tokens, length) -> length == 260 ? Fixture.END : FakeModel.REPEATING.next(tokens, length);
        int[] prompt = {1, 2, 3, 4, 5, 6, 7, 8};
        int[] expected = FakeModel.expected(ending, prompt, 1000, Fixture.END, plainLength, false);
        try (Fixture f = fixture(ending, 64, plainLength)) {
            assertArrayEquals(expected, ids(f.submit(prompt, 0, -1, 16, AnswerText.NONE).await()));
            assertTrue(f.engine.stats().acceptedTokens() > 10, f.engine.stats().toString());
            f.awaitIdle();
        }
    }

    @Test
    void sequencesThatShareAScarceCacheAreStretchedToo() {
        FakeModel.Script ending = (tokens, length) -> length == 140 ? Fixture.END : FakeModel.HASH.next(tokens, length);
        try (Fixture f = fixture(ending, 7, PLAIN)) {
            List<Generation> all = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                all.add(f.submit(prompt(i, 20 + 7 * i), 0));
            }
            for (int i = 0; i < 12; i++) {
                int[] expected = FakeModel.expected(ending, prompt(i, 20 + 7 * i), 1000, Fixture.END, PLAIN, false);
                assertArrayEquals(expected, ids(all.get(i).await()), "request " + i);
            }
            f.awaitIdle();
        }
    }

    @Test
    void aPausedAnswerIsStretchedWhenItGoesOn() {
        // The buffer of an answer that nobody reads fills about where plain positions end.
        for (int plainLength = Generation.EVENT_BUFFER - 5; plainLength < Generation.EVENT_BUFFER + 15; plainLength++) {
            int last = Generation.EVENT_BUFFER + 300;
            FakeModel.Script ending = (tokens, length) -> length == last ? Fixture.END : FakeModel.HASH.next(tokens, length);
            try (Fixture f = fixture(ending, 200, plainLength)) {
                Generation unread = f.submit(prompt(1, 5), 0);
                Fixture.await("the buffer to fill", () -> f.engine.stats().generatedTokens() >= Generation.EVENT_BUFFER - 1);
                assertEquals(50, f.submit(prompt(2, 5), 50).await().tokens().size());
                int[] expected = FakeModel.expected(ending, prompt(1, 5), 5000, Fixture.END, plainLength, false);
                assertArrayEquals(expected, ids(unread.await()));
                f.awaitIdle();
            }
        }
    }

    @Test
    void jobsAreDecidedByTheirLength() {
        try (Fixture f = fixture(FakeModel.HASH, 64, PLAIN)) {
            for (int length : new int[] {PLAIN, PLAIN + 1}) {
                int[] ids = prompt(3, length);
                List<Job<?>> jobs = List.of(
                        new ScoreJob(ids, f.engine.probabilities(), 5),
                        new EmbedJob(ids, Pooling.LAST, FakeModel.WIDTH),
                        new LogitsJob(ids, (p, row) -> {}, f.engine.callbacks(), f.engine::wake, f.engine::stop, FakeModel.ROWS, 5));
                for (Job<?> job : jobs) {
                    f.model.sawPlain = false;
                    f.model.sawStretched = false;
                    f.engine.run(job).await(f.engine::stop);
                    assertEquals(length > PLAIN, f.model.sawStretched, job.toString());
                    assertEquals(length <= PLAIN, f.model.sawPlain, job.toString());
                    assertEquals(length, f.model.promptLength);
                }
            }
        }
    }

    @Test
    void everythingIsStretchedWhereNothingIsPlain() {
        try (Fixture f = fixture(FakeModel.HASH, 64, 0)) {
            assertEquals(3, f.submit(new int[] {1}, 3).await().tokens().size());
            assertEquals(1, f.submit(new int[] {1}, 1).await().tokens().size());
            assertFalse(f.model.sawPlain);
        }
    }
}
