package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.CancelledException;
import io.qwen4j.NumericException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class NextTokenJobTest {
    private static final int[] ALL = IntStream.range(0, FakeModel.ROWS).toArray();

    /** Prompts that begin alike: {@code shared} tokens, then ends of their own. */
    private static List<int[]> prompts(long seed, int shared, int... ends) {
        Random random = new Random(seed);
        int[] beginning = random.ints(shared, 0, 90).toArray();
        List<int[]> prompts = new ArrayList<>();
        for (int i = 0; i < ends.length; i++) {
            int[] prompt = Arrays.copyOf(beginning, shared + ends[i]);
            for (int t = shared; t < prompt.length; t++) {
                prompt[t] = t == shared ? i : random.nextInt(90);
            }
            prompts.add(prompt);
        }
        return prompts;
    }

    private static Job<List<float[]>> start(Fixture f, List<int[]> prompts) {
        return f.engine.run(new NextTokenJob(prompts, ALL, f.engine.probabilities()));
    }

    private static void check(Fixture f, List<int[]> prompts, Job<List<float[]>> job) {
        List<float[]> values = job.await(f.engine::stop);
        assertEquals(prompts.size(), values.size());
        for (int i = 0; i < values.size(); i++) {
            float[] row = values.get(i);
            int best = IntStream.of(ALL).boxed().max((a, b) -> Float.compare(row[a], row[b])).orElseThrow();
            assertEquals(FakeModel.HASH.next(prompts.get(i), prompts.get(i).length), best, "prompt " + i);
            assertEquals(1, IntStream.of(ALL).mapToDouble(id -> Math.exp(row[id])).sum(), 1e-5);
        }
    }

    @Test
    void whatPromptsShareIsComputedOnce() {
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            List<int[]> prompts = prompts(1, 100, 7, 1, 30, 2);
            check(f, prompts, start(f, prompts));
            assertEquals(100 + 7 + 1 + 30 + 2, f.engine.stats().promptTokens());
            f.awaitIdle();
        }
    }

    @Test
    void aPromptMayBeTheBeginningOfAnotherOrTheSame() {
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            int[] all = prompts(2, 70, 5).get(0);
            List<int[]> prompts = List.of(all, Arrays.copyOf(all, 33), all, all, new int[] {89}, Arrays.copyOf(all, 1));
            check(f, prompts, start(f, prompts));
            // Of one that is known all but the last token is.
            assertEquals(75 + 1 + 42 + 1 + 1 + 1, f.engine.stats().promptTokens());
            f.awaitIdle();
        }
    }

    @Test
    void jobsThatTakePagesFromEachOtherAreRight() {
        try (Fixture f = new Fixture(FakeModel.HASH, 6, new Engine.Limits(2048, 32, 4, 100))) {
            List<List<int[]>> prompts = new ArrayList<>();
            List<Job<List<float[]>>> jobs = new ArrayList<>();
            for (int i = 0; i < 30; i++) {
                prompts.add(prompts(i, 1 + 29 * i % 90, 1 + i % 3, 40 + i, 5, 64));
                jobs.add(start(f, prompts.get(i)));
                f.submit(prompts.get(i).get(1), 20);
            }
            for (int i = 0; i < jobs.size(); i++) {
                check(f, prompts.get(i), jobs.get(i));
            }
            f.awaitIdle();
            assertTrue(f.engine.preemptions() > 0, "nothing was preempted");
        }
    }

    @Test
    void allOfThemAreStretchedWhereTheLongestIs() {
        try (Fixture f = new Fixture(FakeModel.HASH, 64, new Engine.Limits(2048, 32, 4, 100, 50))) {
            List<int[]> short50 = prompts(3, 40, 3, 10);
            check(f, short50, start(f, short50));
            assertTrue(f.model.sawPlain && !f.model.sawStretched);
            f.model.sawPlain = false;
            start(f, prompts(4, 40, 3, 11, 2)).await(f.engine::stop);
            assertTrue(f.model.sawStretched && !f.model.sawPlain);
            assertEquals(51, f.model.promptLength);
        }
    }

    @Test
    void anErrorEndsTheJobAlone() {
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            f.model.poison = 91;
            List<int[]> bad = prompts(5, 60, 4, 4, 4);
            bad.get(1)[63] = 91;
            List<int[]> good = prompts(6, 60, 4, 4, 4);
            Job<List<float[]>> failing = start(f, bad);
            Job<List<float[]>> running = start(f, good);
            assertThrows(NumericException.class, () -> failing.await(f.engine::stop));
            check(f, good, running);
            f.awaitIdle();
        }
    }

    @Test
    void interruptingWhoWaitsEndsIt() {
        try (Fixture f = Fixture.of(FakeModel.HASH)) {
            f.model.onStep = () -> java.util.concurrent.locks.LockSupport.parkNanos(1_000_000);
            List<int[]> prompts = prompts(7, 10, IntStream.range(0, 2000).map(i -> 1).toArray());
            Job<List<float[]>> job = start(f, prompts);
            Thread.currentThread().interrupt();
            assertThrows(CancelledException.class, () -> job.await(f.engine::stop));
            assertTrue(Thread.interrupted());
            f.awaitIdle();
            assertTrue(f.model.steps.get() < 2000);
        }
    }
}
