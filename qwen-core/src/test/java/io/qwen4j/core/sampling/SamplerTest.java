package io.qwen4j.core.sampling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.NumericException;
import io.qwen4j.SamplingOptions;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SamplerTest {
    private static final int ROWS = 40;
    private static final int SAMPLEABLE = 37;
    private static final int[] PROMPT = {1, 5, 5, 39, 12};

    static Stream<SamplingOptions> options() {
        SamplingOptions.Builder plain = SamplingOptions.builder();
        return Stream.of(
                plain.build(),
                SamplingOptions.GREEDY,
                SamplingOptions.builder().temperature(0.7f).topP(0.8f).topK(20).repetitionPenalty(1.1f).build(),
                SamplingOptions.builder().temperature(0).repetitionPenalty(1.3f).presencePenalty(0.5f).frequencyPenalty(0.3f).build(),
                SamplingOptions.builder().temperature(1.5f).build(),
                SamplingOptions.builder().topK(1).build(),
                SamplingOptions.builder().topK(5).build(),
                SamplingOptions.builder().topK(36).build(),
                SamplingOptions.builder().topK(37).build(),
                SamplingOptions.builder().topK(1000).build(),
                SamplingOptions.builder().topP(0.5f).build(),
                SamplingOptions.builder().topP(Math.nextUp(0f)).build(),
                SamplingOptions.builder().topP(Math.nextDown(1f)).build(),
                SamplingOptions.builder().topP(0.95f).minP(0.1f).build(),
                SamplingOptions.builder().minP(0.2f).build(),
                SamplingOptions.builder().minP(1).build(),
                SamplingOptions.builder().typicalP(0.5f).build(),
                SamplingOptions.builder().topK(10).typicalP(0.9f).build(),
                SamplingOptions.builder().topK(12).topP(0.9f).minP(0.02f).typicalP(0.6f).temperature(2).build(),
                SamplingOptions.builder().repetitionPenalty(0.5f).presencePenalty(-1).frequencyPenalty(-0.5f).build(),
                SamplingOptions.builder().logitBias(Map.of(3, 5f, 7, Float.NEGATIVE_INFINITY, 38, 100f)).build(),
                SamplingOptions.builder().temperature(1e-30f).build(),
                SamplingOptions.builder().temperature(100).build());
    }

    /** Logits with equal values and forbidden tokens among them. */
    private static float[] row(Random random) {
        float[] row = new float[ROWS];
        for (int i = 0; i < ROWS; i++) {
            float logit = random.nextInt(4) == 0 ? random.nextInt(3) : (float) random.nextGaussian() * 3;
            row[i] = random.nextInt(8) == 0 ? Float.NEGATIVE_INFINITY : logit;
        }
        row[2] = 1;
        return row;
    }

    /** Each token is one that the definition gives a probability, and the draw falls where the cumulated probabilities say. */
    @ParameterizedTest
    @MethodSource("options")
    void drawsFromTheDefinedDistribution(SamplingOptions options) {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 200; round++) {
            List<Integer> answer = new ArrayList<>();
            Sampler sampler = new Sampler(options.toBuilder().seed(random.nextLong()).build(), ROWS, SAMPLEABLE, PROMPT);
            for (int token = 0; token < 5; token++) {
                float[] row = row(random);
                float[] shifted = new float[ROWS + 3];
                System.arraycopy(row, 0, shifted, 3, ROWS);
                Map<Integer, Double> expected = ReferenceSampling.distribution(options, row, SAMPLEABLE, PROMPT, answer);
                int id = sampler.sample(FloatBuffer.wrap(shifted), 3);
                assertTrue(expected.containsKey(id), "seed " + seed + ": token " + id + " is not in " + expected);
                answer.add(id);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("options")
    void frequenciesAreThoseOfTheDistribution(SamplingOptions options) {
        float[] row = row(new Random(7));
        int draws = 4_000;
        Map<Integer, Integer> counts = new HashMap<>();
        for (int i = 0; i < draws; i++) {
            Sampler sampler = new Sampler(options.toBuilder().seed((long) i).build(), ROWS, SAMPLEABLE, PROMPT);
            counts.merge(sampler.sample(FloatBuffer.wrap(row), 0), 1, Integer::sum);
        }
        Map<Integer, Double> expected = ReferenceSampling.distribution(options, row, SAMPLEABLE, PROMPT, List.of());
        for (int id = 0; id < ROWS; id++) {
            double p = expected.getOrDefault(id, 0.0);
            double deviation = Math.sqrt(p * (1 - p) / draws);
            assertEquals(p, counts.getOrDefault(id, 0) / (double) draws, 5 * deviation + 1e-9, "token " + id);
        }
    }

    @Test
    void theExponentialIsThatOfMath() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int i = 0; i < 1_000_000; i++) {
            double x = -random.nextDouble() * (i % 2 == 0 ? 700 : 1);
            assertEquals(1, Exponential.of(x) / Math.exp(x), 1e-14, "seed " + seed + ": " + x);
        }
        assertEquals(1, Exponential.of(0));
        assertEquals(1, Exponential.of(-0.0));
        for (double x : new double[] {-701, -1e30, Double.NEGATIVE_INFINITY}) {
            assertEquals(0, Exponential.of(x));
        }
    }

    @Test
    void aSeedGivesTheSameTokens() {
        FloatBuffer row = FloatBuffer.wrap(row(new Random(3)));
        SamplingOptions options = SamplingOptions.builder().temperature(3).seed(42L).build();
        Sampler first = new Sampler(options, ROWS, SAMPLEABLE, new int[0]);
        Sampler second = new Sampler(options, ROWS, SAMPLEABLE, new int[0]);
        for (int i = 0; i < 100; i++) {
            assertEquals(first.sample(row, 0), second.sample(row, 0));
        }
    }

    @Test
    void differentSeedsGiveDifferentTokens() {
        FloatBuffer row = FloatBuffer.wrap(new float[1000]);
        Map<Integer, Integer> counts = new HashMap<>();
        for (int i = 0; i < 50; i++) {
            counts.merge(new Sampler(SamplingOptions.builder().build(), 1000, 1000, new int[0]).sample(row, 0), 1, Integer::sum);
        }
        assertTrue(counts.size() > 10, "fresh seeds must differ: " + counts);
    }

    /** The generator is the JDK's SplittableRandom, whose algorithm is fixed here. */
    @Test
    void randomNumbersAreThoseOfSplitMix64() {
        for (long seed : new long[] {0, 1, -1, 42, Long.MIN_VALUE}) {
            RandomSource ours = new RandomSource(seed);
            SplittableRandom jdk = new SplittableRandom(seed);
            for (int i = 0; i < 100; i++) {
                assertEquals(jdk.nextLong(), ours.nextLong());
            }
        }
        assertEquals(0xE220A8397B1DCDAFL, new RandomSource(0).nextLong());
    }

    @Test
    void greedyTakesTheLowestOfEqualLogits() {
        float[] row = {1, 3, 2, 3, 3};
        assertEquals(1, new Sampler(SamplingOptions.GREEDY, 5, 5, new int[0]).sample(FloatBuffer.wrap(row), 0));
        SamplingOptions penalised = SamplingOptions.builder().temperature(0).repetitionPenalty(2).build();
        assertEquals(3, new Sampler(penalised, 5, 5, new int[] {1, 1}).sample(FloatBuffer.wrap(row), 0));
    }

    @Test
    void penaltiesFollowTheAnswer() {
        FloatBuffer row = FloatBuffer.wrap(new float[] {3, 2.9f, 2.5f});
        SamplingOptions counted = SamplingOptions.builder().temperature(0).frequencyPenalty(0.2f).build();
        Sampler frequency = new Sampler(counted, 3, 3, new int[] {0, 0, 0});
        assertEquals(List.of(0, 1, 0, 1, 0), List.of(
                frequency.sample(row, 0), frequency.sample(row, 0), frequency.sample(row, 0), frequency.sample(row, 0), frequency.sample(row, 0)));
        Sampler presence = new Sampler(SamplingOptions.builder().temperature(0).presencePenalty(0.2f).build(), 3, 3, new int[0]);
        presence.accept(0);
        assertEquals(List.of(1, 0, 0), List.of(presence.sample(row, 0), presence.sample(row, 0), presence.sample(row, 0)));
    }

    @Test
    void rowsBeyondTheTokenizerAreNeverSampled() {
        float[] row = {0, 0, 100, 100};
        for (long seed = 0; seed < 100; seed++) {
            assertTrue(new Sampler(SamplingOptions.builder().seed(seed).build(), 4, 2, new int[0]).sample(FloatBuffer.wrap(row), 0) < 2);
        }
        assertEquals(0, new Sampler(SamplingOptions.GREEDY, 4, 2, new int[0]).sample(FloatBuffer.wrap(row), 0));
    }

    @ParameterizedTest
    @MethodSource("options")
    void noNumberAndNoTokenAreErrors(SamplingOptions options) {
        for (int bad = 0; bad < ROWS; bad++) {
            float[] row = row(new Random(bad));
            row[bad] = Float.NaN;
            assertThrows(NumericException.class, () -> new Sampler(options, ROWS, SAMPLEABLE, PROMPT).sample(FloatBuffer.wrap(row), 0));
            row[bad] = Float.POSITIVE_INFINITY;
            assertThrows(NumericException.class, () -> new Sampler(options, ROWS, SAMPLEABLE, PROMPT).sample(FloatBuffer.wrap(row), 0));
        }
        float[] nothing = new float[ROWS];
        java.util.Arrays.fill(nothing, Float.NEGATIVE_INFINITY);
        nothing[SAMPLEABLE] = 1;
        assertThrows(NumericException.class, () -> new Sampler(options, ROWS, SAMPLEABLE, PROMPT).sample(FloatBuffer.wrap(nothing), 0));
        nothing[9] = 1;
        assertEquals(9, new Sampler(options, ROWS, SAMPLEABLE, PROMPT).sample(FloatBuffer.wrap(nothing), 0));
    }

    @Test
    void forbiddingEveryTokenIsAnError() {
        Map<Integer, Float> bias = new HashMap<>();
        for (int id = 0; id < SAMPLEABLE; id++) {
            bias.put(id, Float.NEGATIVE_INFINITY);
        }
        SamplingOptions options = SamplingOptions.builder().logitBias(bias).build();
        assertThrows(
                NumericException.class, () -> new Sampler(options, ROWS, SAMPLEABLE, PROMPT).sample(FloatBuffer.wrap(new float[ROWS]), 0));
    }

    @Test
    void extremeLogitsStayFinite() {
        float[] row = {Float.MAX_VALUE, -Float.MAX_VALUE, Float.MAX_VALUE, 0};
        for (float temperature : new float[] {0, 1e-30f, Float.MIN_VALUE, 1, 100}) {
            SamplingOptions options = SamplingOptions.builder()
                    .temperature(temperature)
                    .repetitionPenalty(1e-3f)
                    .logitBias(Map.of(0, 1e38f))
                    .build();
            int id = new Sampler(options, 4, 4, new int[] {0, 1, 2, 3}).sample(FloatBuffer.wrap(row), 0);
            assertTrue(id == 0 || id == 2, "token " + id);
        }
    }

    @Test
    void idsBeyondTheVocabularyAreRefused() {
        SamplingOptions bias = SamplingOptions.builder().logitBias(Map.of(ROWS, 1f)).build();
        assertThrows(IllegalArgumentException.class, () -> new Sampler(bias, ROWS, SAMPLEABLE, PROMPT));
        assertThrows(IllegalArgumentException.class, () -> new Sampler(SamplingOptions.GREEDY, ROWS, SAMPLEABLE, new int[] {ROWS}));
        assertThrows(IllegalArgumentException.class, () -> new Sampler(SamplingOptions.GREEDY, ROWS, SAMPLEABLE, new int[] {-1}));
        assertThrows(IllegalArgumentException.class, () -> new Sampler(SamplingOptions.GREEDY, ROWS, ROWS + 1, PROMPT));
        assertThrows(IllegalArgumentException.class, () -> new Sampler(SamplingOptions.GREEDY, ROWS, 0, PROMPT));
    }

    /** The size of Qwen2.5, from a direct buffer, against the definition: the nucleus without top-k takes the path that avoids sorting. */
    @ParameterizedTest
    @ValueSource(floats = {0.1f, 0.8f, 0.999f})
    void aWholeVocabulary(float topP) {
        int rows = 151_936;
        int sampleable = 151_665;
        long seed = System.nanoTime();
        Random random = new Random(seed);
        float[] row = new float[rows];
        for (int i = 0; i < rows; i++) {
            row[i] = (float) random.nextGaussian() * 3;
        }
        FloatBuffer direct = ByteBuffer.allocateDirect(rows * 4).order(ByteOrder.nativeOrder()).asFloatBuffer().put(row).flip();
        for (SamplingOptions options : List.of(
                SamplingOptions.builder().topP(topP).build(),
                SamplingOptions.builder().topP(topP).topK(50).build(),
                SamplingOptions.builder().topP(topP).typicalP(topP).build())) {
            Map<Integer, Double> expected = ReferenceSampling.distribution(options, row, sampleable, new int[0], List.of());
            for (int i = 0; i < 20; i++) {
                int id = new Sampler(options, rows, sampleable, new int[0]).sample(direct, 0);
                assertTrue(expected.containsKey(id), "seed " + seed + ": token " + id);
            }
        }
    }

    /** No allocation per token: a thousand tokens take less than twenty bytes each, what the virtual machine allocates for itself included. */
    @ParameterizedTest
    @MethodSource("options")
    void allocatesNothingPerToken(SamplingOptions options) {
        var threads = (com.sun.management.ThreadMXBean) java.lang.management.ManagementFactory.getThreadMXBean();
        Sampler sampler = new Sampler(options, ROWS, SAMPLEABLE, PROMPT);
        FloatBuffer row = FloatBuffer.wrap(row(new Random(1)));
        for (int i = 0; i < 100; i++) {
            sampler.sample(row, 0);
        }
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 1000; i++) {
            sampler.sample(row, 0);
        }
        long bytes = threads.getCurrentThreadAllocatedBytes() - before;
        assertTrue(bytes < 20_000, bytes + " bytes for 1000 tokens");
    }
}
