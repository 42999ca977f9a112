package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.Device;
import io.qwen4j.DualChunk;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.Yarn;
import io.qwen4j.core.testing.GoldenFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A model that stretches long requests only, bit for bit beside one that stretches all and one that stretches none. */
@Timeout(120)
class AutomaticYarnTest {
    /** Original length of the checkpoint's YaRN, whose factor is 4. */
    private static final int ORIGINAL = 64;

    @TempDir
    static Path directory;

    private static Path files;

    @BeforeAll
    static void unpack() {
        files = GoldenFiles.unpack("yarn", directory);
    }

    private static LoadOptions.Builder options() {
        return LoadOptions.builder().device(Device.JAVA).threads(2).kvCache(KvCacheType.F32).prefillSlice(24);
    }

    private static QwenModel load(Yarn yarn) {
        return QwenModel.load(files, options().yarn(yarn).contextLength(256).build());
    }

    private static GenerationResult generate(QwenModel model, int seed, int prompt, int maxTokens, int lookup) {
        return submit(model, seed, prompt, maxTokens, lookup).await();
    }

    private static Generation submit(QwenModel model, int seed, int prompt, int maxTokens, int lookup) {
        List<Integer> ids = new Random(seed).ints(prompt, 0, 500).boxed().toList();
        return model.submit(new GenerationRequest.Tokens(ids, GenerationOptions.builder()
                .sampling(SamplingOptions.builder().temperature(0.7f).seed((long) seed).build())
                .logProbabilities(2).maxTokens(maxTokens).ignoreEndTokens(true).promptLookup(lookup).build()));
    }

    private static float[] logits(QwenModel model, int count) {
        int rows = model.info().vocabularyRows();
        float[] all = new float[count * rows];
        model.logits(new Random(5).ints(count, 0, 500).toArray(), (position, row) -> row.get(all, position * rows, rows));
        return all;
    }

    private static void assertSame(GenerationResult expected, GenerationResult found) {
        assertEquals(expected.tokens(), found.tokens());
        assertEquals(expected.logProbabilities(), found.logProbabilities());
        assertEquals(expected.usage(), found.usage());
    }

    @Test
    void shortRequestsArePlainAndLongOnesStretched() {
        try (QwenModel automatic = load(Yarn.of(0).auto()); QwenModel always = load(null); QwenModel never = load(Yarn.OFF)) {
            assertTrue(automatic.info().positions().contains("only in requests of more than 64 tokens"), automatic.info().positions());
            assertEquals("YaRN with factor 4 from 64 tokens", always.info().positions());
            assertEquals("plain", never.info().positions());
            assertEquals(256, automatic.info().modelContextLength());
            assertEquals(ORIGINAL, never.info().modelContextLength());

            GenerationResult shorter = generate(automatic, 1, 44, 20, 0);
            assertSame(generate(never, 1, 44, 20, 0), shorter);
            assertNotEquals(generate(always, 1, 44, 20, 0).logProbabilities(), shorter.logProbabilities());
            GenerationResult longer = generate(automatic, 1, 44, 21, 0);
            assertSame(generate(always, 1, 44, 21, 0), longer);
            assertSame(generate(always, 2, 100, 30, 0), generate(automatic, 2, 100, 30, 0));

            assertArrayEquals(logits(never, ORIGINAL), logits(automatic, ORIGINAL));
            assertArrayEquals(logits(always, ORIGINAL + 1), logits(automatic, ORIGINAL + 1));
            int[] ids = new Random(6).ints(ORIGINAL + 1, 0, 500).toArray();
            assertEquals(always.score(ids), automatic.score(ids));
            int[] fewer = java.util.Arrays.copyOf(ids, ORIGINAL);
            assertEquals(never.score(fewer), automatic.score(fewer));
            assertNotEquals(always.score(fewer), automatic.score(fewer));
        }
    }

    @Test
    void anAnswerThatOutgrowsPlainPositionsGoesOnAsIfAllHadBeenStretched() {
        try (QwenModel automatic = load(Yarn.of(0).auto()); QwenModel always = load(null); QwenModel never = load(Yarn.OFF)) {
            GenerationResult whole = generate(automatic, 3, 30, 0, 0);
            assertEquals(256 - 30, whole.tokens().size());
            // Plain until 65 tokens are known.
            int plain = ORIGINAL + 1 - 30;
            GenerationResult beginning = generate(never, 3, 30, 0, 0);
            assertEquals(beginning.tokens().subList(0, plain), whole.tokens().subList(0, plain));
            assertEquals(beginning.logProbabilities().subList(0, plain), whole.logProbabilities().subList(0, plain));
            // From there on what a stretched model finds behind the same tokens.
            List<Integer> known = new ArrayList<>(new Random(3).ints(30, 0, 500).boxed().toList());
            known.addAll(whole.tokens());
            int[] ids = known.stream().mapToInt(i -> i).toArray();
            List<Float> scores = always.score(ids).logProbabilities();
            for (int i = plain; i < whole.tokens().size(); i++) {
                assertEquals(scores.get(30 + i - 1), whole.logProbabilities().get(i).logProbability(), "token " + i);
            }
            // Tokens computed ahead change nothing, nor do other requests beside it in a cache that is too small.
            assertSame(whole, generate(automatic, 3, 30, 0, 8));
            try (QwenModel crowded = QwenModel.load(
                    files, options().yarn(Yarn.of(0).auto()).contextLength(256).cacheTokens(320).maxConcurrent(3).build())) {
                List<Generation> beside = new ArrayList<>();
                for (int seed = 2; seed < 7; seed++) {
                    beside.add(submit(crowded, seed, 10 * seed, 0, 0));
                }
                assertSame(whole, beside.get(1).await());
                for (int seed = 2; seed < 7; seed++) {
                    assertSame(generate(automatic, seed, 10 * seed, 0, 0), beside.get(seed - 2).await());
                }
            }
        }
    }

    @Test
    void dualChunksEqualPlainPositionsUpToTheirLargestDistance() {
        Path plain = GoldenFiles.unpack("dense-gqa7", directory);
        try (QwenModel model = QwenModel.load(plain, options().contextLength(300).build());
                QwenModel chunks = QwenModel.load(plain, options().contextLength(300).dualChunk(new DualChunk(40, 8, 0)).build());
                QwenModel unasked = QwenModel.load(plain, options().dualChunk(new DualChunk(40, 8, 0)).build())) {
            assertEquals("dual chunks with distances up to 40 tokens, 8 local", chunks.info().positions());
            assertEquals(1024, unasked.info().contextLength());
            assertEquals(1024, unasked.info().modelContextLength());
            assertClose(logits(model, 41), logits(chunks, 41), 1e-4);
            float[] beyond = logits(model, 42);
            float[] found = logits(chunks, 42);
            double difference = 0;
            for (int i = 41 * model.info().vocabularyRows(); i < beyond.length; i++) {
                difference = Math.max(difference, Math.abs(beyond[i] - found[i]));
            }
            assertTrue(difference > 1e-4, "difference " + difference);
            assertFalse(generate(chunks, 4, 200, 60, 8).tokens().isEmpty());
        }
    }

    private static void assertClose(float[] expected, float[] found, double tolerance) {
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], found[i], tolerance, "logit " + i);
        }
    }
}
