package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.FinishReason;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationResult;
import io.qwen4j.ModelClosedException;
import io.qwen4j.Pooling;
import io.qwen4j.QueueFullException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Random traces of valid requests: whatever arrives, is cancelled, read slowly or not at all, every answer is the model's own and nothing
 * stays behind.
 */
@Timeout(120)
class TraceTest {
    @RepeatedTest(12)
    void randomTraces() {
        long seed = ThreadLocalRandom.current().nextLong();
        try {
            trace(seed);
        } catch (Throwable t) {
            throw new AssertionError("seed " + seed, t);
        }
    }

    private static void trace(long seed) throws Exception {
        Random random = new Random(seed);
        int pages = 4 + random.nextInt(40);
        Engine.Limits limits = new Engine.Limits(
                1 + random.nextInt(1500), 1 + random.nextInt(80), 1 + random.nextInt(6), random.nextInt(60),
                random.nextBoolean() ? LongContext.ALWAYS_PLAIN : random.nextInt(120),
                random.nextBoolean() ? Engine.Limits.NEVER_SPARSE : random.nextInt(120));
        AtomicInteger served = new AtomicInteger();
        FakeModel.Script script = random.nextBoolean() ? FakeModel.HASH : FakeModel.REPEATING;
        try (Fixture f = new Fixture(script, pages, limits)) {
            List<Thread> users = new ArrayList<>();
            List<Throwable> failures = new ArrayList<>();
            for (int u = 0; u < 6; u++) {
                long userSeed = random.nextLong();
                Thread user = new Thread(() -> {
                    try {
                        served.addAndGet(user(f, limits, script, new Random(userSeed)));
                    } catch (Throwable t) {
                        synchronized (failures) {
                            failures.add(t);
                        }
                    }
                });
                users.add(user);
                user.start();
            }
            for (Thread user : users) {
                user.join(30_000);
                assertTrue(!user.isAlive(), () -> "no progress: " + f.engine.stats() + Arrays.toString(user.getStackTrace()));
            }
            if (!failures.isEmpty()) {
                throw failures.get(0);
            }
            f.awaitIdle();
            assertTrue(served.get() > 0, "no request was answered");
        } catch (Exception | Error e) {
            throw e;
        } catch (Throwable t) {
            throw new AssertionError(t);
        }
    }

    private static int user(Fixture f, Engine.Limits limits, FakeModel.Script script, Random random) throws Exception {
        int served = 0;
        for (int i = 0; i < 25; i++) {
            int length = 1 + random.nextInt(random.nextInt(4) == 0 ? f.engine.maxLength() : Math.min(40, f.engine.maxLength()));
            int[] prompt = random.ints(length, 0, 90).toArray();
            int most = random.nextInt(5) == 0 ? 0 : 1 + random.nextInt(80);
            int kind = random.nextInt(10);
            if (kind == 0 && length > 1) {
                assertEquals(length - 1, f.engine.run(new ScoreJob(prompt, f.engine.probabilities(), 5)).await(f.engine::stop)
                        .logProbabilities().size());
                continue;
            }
            if (kind == 1) {
                EmbedJob job = new EmbedJob(prompt, Pooling.MEAN, FakeModel.WIDTH);
                assertEquals(FakeModel.WIDTH, f.engine.run(job).await(f.engine::stop).length);
                continue;
            }
            int sparseSlice = length > limits.sparseThreshold() ? limits.prefillSlice() : 0;
            int[] expected = FakeModel.expected(
                    script, prompt, answerLength(f, length, most), Fixture.END, limits.plainLength(), most > 0, sparseSlice);
            Generation g;
            try {
                g = f.submit(prompt.clone(), most, -1, random.nextInt(3) * random.nextInt(9), AnswerText.NONE);
            } catch (QueueFullException e) {
                LockSupport.parkNanos(200_000);
                continue;
            }
            switch (kind) {
                case 2, 3 -> {
                    LockSupport.parkNanos(random.nextInt(300_000));
                    g.cancel();
                    checkBeginning(expected, g.await());
                }
                case 4 -> {
                    int[] read = read(g, expected.length, random);
                    assertArrayEquals(expected, read);
                }
                case 5 -> {
                    List<GenerationEvent> events = new ArrayList<>();
                    GenerationResult result = g.onEvent(events::add).get();
                    check(expected, result);
                    assertEquals(2 + expected.length, events.size());
                }
                case 6 -> {
                    CompletableFuture<GenerationResult> future = g.result();
                    if (random.nextBoolean()) {
                        future.cancel(true);
                        checkBeginning(expected, g.await());
                    } else {
                        check(expected, future.get());
                    }
                }
                default -> check(expected, g.await());
            }
            served++;
        }
        return served;
    }

    private static int answerLength(Fixture f, int prompt, int most) {
        int room = Math.max(1, f.engine.maxLength() - prompt);
        return most == 0 ? room : Math.min(room, most);
    }

    private static int[] read(Generation g, int count, Random random) {
        int[] tokens = new int[count];
        int n = 0;
        var events = g.events();
        while (events.hasNext()) {
            if (events.next() instanceof GenerationEvent.Token t) {
                tokens[n++] = t.id();
            }
            if (random.nextInt(200) == 0) {
                LockSupport.parkNanos(50_000);
            }
        }
        assertEquals(count, n);
        return tokens;
    }

    private static void check(int[] expected, GenerationResult result) {
        assertArrayEquals(expected, result.tokens().stream().mapToInt(i -> i).toArray());
        assertEquals(FinishReason.LENGTH, result.finishReason());
    }

    private static void checkBeginning(int[] expected, GenerationResult result) {
        int[] found = result.tokens().stream().mapToInt(i -> i).toArray();
        assertArrayEquals(Arrays.copyOf(expected, found.length), found);
        assertTrue(result.finishReason() == FinishReason.CANCELLED || found.length == expected.length, result.toString());
    }

    @Test
    void closeRacesWithEverything() throws Exception {
        for (int round = 0; round < 400; round++) {
            Fixture f = new Fixture(FakeModel.HASH, 8, new Engine.Limits(256, 16, 3, 8));
            List<Thread> threads = new ArrayList<>();
            List<Throwable> failures = new ArrayList<>();
            for (int t = 0; t < 3; t++) {
                int mode = t;
                Thread thread = new Thread(() -> {
                    try {
                        for (int i = 0; i < 100; i++) {
                            use(f, mode, i);
                        }
                    } catch (ModelClosedException expected) {
                        return;
                    } catch (Throwable e) {
                        synchronized (failures) {
                            failures.add(e);
                        }
                    }
                });
                threads.add(thread);
                thread.start();
            }
            LockSupport.parkNanos(ThreadLocalRandom.current().nextInt(400_000));
            Thread closer = new Thread(f.engine::close);
            closer.start();
            f.close();
            closer.join();
            for (Thread thread : threads) {
                thread.join(20_000);
                assertTrue(!thread.isAlive(), () -> "hangs: " + Arrays.toString(thread.getStackTrace()));
            }
            if (!failures.isEmpty()) {
                throw new AssertionError("round " + round, failures.get(0));
            }
        }
    }

    private static void use(Fixture f, int mode, int i) {
        int[] prompt = {i % 90, mode, 7};
        try {
            switch (mode) {
                case 0 -> f.submit(prompt, 20).await();
                case 1 -> f.submit(prompt, 20).events().forEachRemaining(event -> {});
                default -> {
                    // Closes from a callback: must not wait for itself.
                    int number = i;
                    f.submit(prompt, 5).onEvent(event -> {
                        if (number == 30) {
                            f.engine.close();
                        }
                    }).join();
                }
            }
        } catch (QueueFullException e) {
            Thread.onSpinWait();
        }
    }
}
