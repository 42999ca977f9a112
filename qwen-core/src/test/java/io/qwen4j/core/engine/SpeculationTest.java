package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.EngineStats;
import io.qwen4j.FinishReason;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationResult;
import io.qwen4j.SamplingOptions;
import io.qwen4j.Usage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Tokens computed ahead: the answers are those without, and take fewer steps. */
@Timeout(60)
class SpeculationTest {
    /** Goes round in five tokens for ever. */
    private static final FakeModel.Script ROUND = (tokens, length) -> length % 5;

    private static int[] prompt(int seed, int length) {
        return new Random(seed).ints(length, 0, 90).toArray();
    }

    private static int[] ids(GenerationResult result) {
        return result.tokens().stream().mapToInt(i -> i).toArray();
    }

    private static Generation ahead(Fixture f, int[] prompt, int maxTokens) {
        return f.submit(prompt, maxTokens, -1, 8, AnswerText.NONE);
    }

    @Test
    void aRepetitionTakesFewSteps() {
        try (Fixture f = Fixture.of(ROUND)) {
            GenerationResult result = ahead(f, new int[] {0, 1, 2, 3, 4, 0, 1, 2}, 400).await();
            assertArrayEquals(FakeModel.expected(ROUND, new int[8], 400, Fixture.END), ids(result));
            f.awaitIdle();
            EngineStats stats = f.engine.stats();
            // Seven ahead of one, once the first have come true.
            assertTrue(f.model.steps.get() <= 400 / 8 + 10, "steps: " + f.model.steps);
            assertEquals(400, stats.generatedTokens());
            assertEquals(8, stats.promptTokens());
            assertEquals(400, f.model.steps.get() + stats.acceptedTokens());
            assertTrue(stats.draftedTokens() >= stats.acceptedTokens(), stats.toString());
        }
    }

    @Test
    void nothingIsComputedAheadUnlessAskedFor() {
        try (Fixture f = Fixture.of(ROUND)) {
            assertEquals(100, f.submit(new int[] {0, 1, 2, 3, 4}, 100).await().tokens().size());
            f.awaitIdle();
            assertEquals(100, f.model.steps.get());
            assertEquals(0, f.engine.stats().draftedTokens());
        }
    }

    @Test
    void whatNeverComesTrueIsSoonNotComputedAnyMore() {
        // The same two tokens come again and again, but something else follows each time.
        FakeModel.Script script = (tokens, length) -> length % 3 < 2 ? length % 3 : 3 + length / 3;
        try (Fixture f = Fixture.of(script)) {
            assertEquals(240, ahead(f, new int[] {0, 1, 3, 0, 1, 4}, 240).await().tokens().size());
            f.awaitIdle();
            assertEquals(0, f.engine.stats().acceptedTokens());
            assertTrue(f.engine.stats().draftedTokens() < 5, f.engine.stats().toString());
        }
    }

    @Test
    void answersAreThoseOfTheModelWhateverRunsBeside() {
        for (int pageCount : new int[] {64, 8}) {
            try (Fixture f = new Fixture(FakeModel.REPEATING, pageCount, new Engine.Limits(2048, 16, 3, 100))) {
                f.model.onStep = () -> {
                    int outputs = f.model.batch().outputs();
                    if (outputs > Math.max(Scheduler.DRAFTING_TOKENS, f.model.batch().sequences())) {
                        throw new IllegalStateException(outputs + " rows of " + f.model.batch().sequences() + " sequences");
                    }
                };
                List<Generation> all = new ArrayList<>();
                for (int i = 0; i < 20; i++) {
                    all.add(f.submit(prompt(i, 1 + 37 * i % 130), 70 + i, -1, i % 9, AnswerText.NONE));
                }
                for (int i = 0; i < 20; i++) {
                    int[] prompt = prompt(i, 1 + 37 * i % 130);
                    GenerationResult result = all.get(i).await();
                    assertArrayEquals(FakeModel.expected(FakeModel.REPEATING, prompt, 70 + i, Fixture.END), ids(result), "request " + i);
                    assertEquals(FinishReason.LENGTH, result.finishReason());
                    assertEquals(new Usage(prompt.length, 70 + i), result.usage());
                }
                f.awaitIdle();
                EngineStats stats = f.engine.stats();
                assertEquals(20 * 70 + 190, stats.generatedTokens());
                assertTrue(stats.acceptedTokens() > 100 && stats.acceptedTokens() < stats.draftedTokens(), stats.toString());
                assertEquals(pageCount == 8, f.engine.preemptions() > 0);
            }
        }
    }

    @Test
    void besideManySequencesNothingIsComputedAhead() {
        try (Fixture f = new Fixture(ROUND, 64, new Engine.Limits(2048, 64, 8, 100))) {
            f.model.onStep = () -> {
                int sequences = f.model.batch().sequences();
                if (sequences > Scheduler.DRAFTING_SEQUENCES && f.model.batch().outputs() > sequences) {
                    throw new IllegalStateException(f.model.batch().outputs() + " rows of " + sequences + " sequences");
                }
            };
            List<Generation> all = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                all.add(ahead(f, new int[] {0, 1, 2, 3, 4}, 100 + 20 * i));
            }
            for (int i = 0; i < 8; i++) {
                assertEquals(100 + 20 * i, all.get(i).await().tokens().size());
            }
            // Those that are left at the end have room.
            f.awaitIdle();
            assertTrue(f.engine.stats().acceptedTokens() > 10, f.engine.stats().toString());
        }
    }

    @Test
    void anAnswerIsAsLongAsAskedFor() {
        int[] prompt = {0, 1, 2, 3, 4, 0, 1, 2, 3};
        try (Fixture f = Fixture.of(ROUND)) {
            for (int most = 1; most <= 60; most++) {
                GenerationResult result = ahead(f, prompt, most).await();
                assertArrayEquals(FakeModel.expected(ROUND, prompt, most, Fixture.END), ids(result));
                assertEquals(FinishReason.LENGTH, result.finishReason());
            }
        }
    }

    @Test
    void theWholeCacheCanBeFilled() {
        for (int length = 80; length <= 96; length++) {
            try (Fixture f = new Fixture(ROUND, 3, new Engine.Limits(2048, 32, 4, 10))) {
                int[] prompt = FakeModel.expected(ROUND, new int[0], length, Fixture.END);
                GenerationResult result = ahead(f, prompt, 0).await();
                assertEquals(new Usage(length, Math.max(1, 96 - length)), result.usage());
            }
        }
    }

    @Test
    void anEndTokenAheadIsTheEnd() {
        // A copy of the prompt, whose turns end with end tokens.
        int[] prompt = {1, 2, 3, 4, 5, 6, 7, 8, Fixture.END, 9, 10, 1, 2, 3};
        FakeModel.Script copy = (tokens, length) -> prompt[length - 11];
        try (Fixture f = Fixture.of(copy)) {
            GenerationResult result = ahead(f, prompt, 100).await();
            assertArrayEquals(new int[] {4, 5, 6, 7, 8, Fixture.END}, ids(result));
            assertEquals(FinishReason.STOP, result.finishReason());
            f.awaitIdle();
            assertTrue(f.engine.stats().acceptedTokens() > 0);
            assertEquals(f.engine.stats().draftedTokens(), f.engine.stats().acceptedTokens(), "behind an end token nothing is computed");
        }
    }

    @Test
    void aStopStringEndsTheAnswerExactly() {
        for (int round = 0; round < 100; round++) {
            try (Fixture f = Fixture.of((tokens, length) -> length < 60 ? length % 5 : length % 26)) {
                GenerationResult result = f.submit(new int[] {0, 1, 2, 3, 4}, 0, -1, 8, new Fixture.Letters("eijk")).await();
                assertEquals("abcde".repeat(10) + "abcd", result.text());
                assertEquals("eijk", result.stop());
                assertEquals(58, result.tokens().size());
                f.awaitIdle();
            }
        }
    }

    @Test
    void aRowThatDidNotComeTrueIsNotLookedAt() {
        int[] prompt = {1, 2, 3, 95, 7, 1, 2, 3, 50, 1, 2};
        // Twice the token foreseen is one whose row is NaN, and twice another comes.
        FakeModel.Script script = (tokens, length) -> length < 12 ? 3 : length < 20 ? 60 + length : 30;
        try (Fixture f = Fixture.of(script)) {
            f.model.poison = 50;
            GenerationResult result = ahead(f, prompt, 12).await();
            assertArrayEquals(FakeModel.expected(script, prompt, 12, Fixture.END), ids(result));
            f.awaitIdle();
            assertTrue(f.engine.stats().draftedTokens() > f.engine.stats().acceptedTokens(), f.engine.stats().toString());
        }
    }

    @Test
    void anAnswerThatNobodyReadsPausesAndGoesOn() {
        try (Fixture f = new Fixture(FakeModel.REPEATING, 200, new Engine.Limits(6000, 32, 1, 10))) {
            Generation unread = ahead(f, prompt(1, 5), 3000);
            Fixture.await("the buffer to fill", () -> f.engine.stats().generatedTokens() >= Generation.EVENT_BUFFER - 1);
            assertEquals(50, ahead(f, prompt(2, 5), 50).await().tokens().size());
            assertTrue(f.engine.stats().generatedTokens() <= Generation.EVENT_BUFFER + 50, f.engine.stats().toString());
            assertFalse(unread.isDone());
            int[] tokens = new int[3000];
            int count = 0;
            var events = unread.events();
            while (events.hasNext()) {
                if (events.next() instanceof GenerationEvent.Token t) {
                    tokens[count++] = t.id();
                }
            }
            assertEquals(3000, count);
            assertArrayEquals(FakeModel.expected(FakeModel.REPEATING, prompt(1, 5), 3000, Fixture.END), tokens);
        }
    }

    @Test
    void sampledTokensAndTheirProbabilitiesAreTheSame() {
        long accepted = 0;
        for (int round = 0; round < 8; round++) {
            accepted += compare(ThreadLocalRandom.current().nextLong());
        }
        assertTrue(accepted > 50, "accepted: " + accepted);
    }

    @Test
    void aRowIsLookedAtOnlyWhereASelectionDoesNotTell() {
        BitSet ends = new BitSet();
        List<SamplingOptions> told = List.of(
                SamplingOptions.GREEDY,
                SamplingOptions.builder().temperature(0.7f).topK(20).topP(0.8f).repetitionPenalty(1.05f).build(),
                SamplingOptions.builder().temperature(0.7f).topP(0.9f).presencePenalty(0.1f).build(),
                SamplingOptions.builder().minP(0.1f).logitBias(Map.of(3, 2f)).build());
        List<SamplingOptions> looked = List.of(
                SamplingOptions.builder().build(), SamplingOptions.builder().typicalP(0.5f).build());
        try (Fixture f = new Fixture(FakeModel.REPEATING, 30, new Engine.Limits(200, 40, 4, 100), 4 * FakeModel.ROWS)) {
            for (SamplingOptions options : told) {
                f.engine.generate(new Engine.Request(prompt(3, 20), 30, ends, -1, 4,
                        new LazySampler(options, FakeModel.ROWS, FakeModel.ROWS, prompt(3, 20)), AnswerText.NONE, f)).await();
                f.awaitIdle();
                assertEquals(0, f.model.looks.get(), options.toString());
            }
            assertTrue(f.model.selects.get() > 4 * 4, "selections: " + f.model.selects);
            for (SamplingOptions options : looked) {
                int before = f.model.looks.get();
                f.engine.generate(new Engine.Request(prompt(3, 20), 30, ends, -1, 0,
                        new LazySampler(options, FakeModel.ROWS, FakeModel.ROWS, prompt(3, 20)), AnswerText.NONE, f)).await();
                assertEquals(30, f.model.looks.get() - before, options.toString());
            }
        }
    }

    /** Returns how many tokens were computed ahead and came true. */
    private static long compare(long seed) {
        Random random = new Random(seed);
        Engine.Limits limits = new Engine.Limits(2048, 8 + random.nextInt(40), 1 + random.nextInt(4), 100);
        int pages = 6 + random.nextInt(30);
        List<SamplingOptions> options = new ArrayList<>();
        List<int[]> prompts = new ArrayList<>();
        List<Integer> lengths = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            options.add(options(random));
            prompts.add(random.ints(1 + random.nextInt(60), 0, 11).toArray());
            lengths.add(1 + random.nextInt(100));
        }
        List<GenerationResult> plain = new ArrayList<>();
        List<GenerationResult> ahead = new ArrayList<>();
        assertEquals(0, run(pages, limits, options, prompts, lengths, 0, -1, plain));
        long accepted = run(pages, limits, options, prompts, lengths, 1 + random.nextInt(16), -1, ahead);
        // Chosen from a selection, with room for what penalties touch or with little.
        List<GenerationResult> selected = new ArrayList<>();
        run(pages, limits, options, prompts, lengths, 0, 300, selected);
        List<GenerationResult> selectedAhead = new ArrayList<>();
        run(pages, limits, options, prompts, lengths, 1 + random.nextInt(16), 1 + random.nextInt(30), selectedAhead);
        for (int i = 0; i < 12; i++) {
            assertEquals(plain.get(i).tokens(), ahead.get(i).tokens(), "request " + i + ", seed " + seed);
            assertEquals(plain.get(i).tokens(), selected.get(i).tokens(), "request " + i + ", selected, seed " + seed);
            assertEquals(plain.get(i).tokens(), selectedAhead.get(i).tokens(), "request " + i + ", selected ahead, seed " + seed);
            assertEquals(plain.get(i).logProbabilities(), ahead.get(i).logProbabilities(), "request " + i + ", seed " + seed);
            assertEquals(plain.get(i).finishReason(), ahead.get(i).finishReason(), "request " + i + ", seed " + seed);
            assertEquals(plain.get(i).usage(), ahead.get(i).usage(), "request " + i + ", seed " + seed);
        }
        return accepted;
    }

    private static SamplingOptions options(Random random) {
        SamplingOptions.Builder options = SamplingOptions.builder()
                .temperature(random.nextInt(4) == 0 ? 0 : 0.3f + random.nextInt(4) / 3f)
                .seed(random.nextLong());
        switch (random.nextInt(7)) {
            case 0 -> options.topK(1 + random.nextInt(9));
            case 1 -> options.topP(0.5f + random.nextFloat() / 2);
            case 2 -> options.minP(0.05f);
            case 3 -> options.typicalP(0.7f);
            case 4 -> options.repetitionPenalty(1.3f);
            case 5 -> options.presencePenalty(0.5f).frequencyPenalty(0.2f);
            default -> options.logitBias(Map.of(3, 2f, 5, -3f));
        }
        return options.build();
    }

    private static long run(int pages, Engine.Limits limits, List<SamplingOptions> options, List<int[]> prompts, List<Integer> lengths,
            int mostDrafted, int mostApart, List<GenerationResult> results) {
        BitSet ends = new BitSet();
        ends.set(Fixture.END);
        try (Fixture f = new Fixture(FakeModel.REPEATING, pages, limits, mostApart)) {
            List<Generation> all = new ArrayList<>();
            for (int i = 0; i < prompts.size(); i++) {
                int[] prompt = Arrays.copyOf(prompts.get(i), Math.min(prompts.get(i).length, f.engine.maxLength()));
                TokenChooser chooser = new LazySampler(options.get(i), FakeModel.ROWS, FakeModel.ROWS, prompt);
                all.add(f.engine.generate(new Engine.Request(
                        prompt, lengths.get(i), ends, mostApart < 0 ? 2 : -1, mostDrafted, chooser, AnswerText.NONE, f)));
            }
            all.forEach(g -> results.add(g.await()));
            f.awaitIdle();
            assertEquals(mostApart >= 0, f.model.selects.get() > 0);
            return f.engine.stats().acceptedTokens();
        }
    }
}
