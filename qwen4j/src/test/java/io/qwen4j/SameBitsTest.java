package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.cache.PageTable;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenDecoder;
import io.qwen4j.core.model.QwenWeights;
import io.qwen4j.core.model.Synthesizer;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A sequence's logits have the same bits whatever runs beside it, however its prompt is cut and on any number of threads: whole decoders on
 * the native kernels, every weight type and instruction set.
 */
@Tag("kernels")
class SameBitsTest {
    private static final long SEED = 11;
    private static final int MAX_TOKENS = 512;
    private static final int PAGES = 64;
    private static final int VOCABULARY = 333;
    /** Tokens of the sequences: around the pages of 32, and one that attention may share among threads. */
    private static final int[] LENGTHS = {150, 17, 1, 64, 33, 5, 40, 31, 2};
    private static final int LONG = 900;

    @TempDir
    private Path directory;

    static Stream<Arguments> setsAndTypes() {
        return NativeSets.all().flatMap(set -> Stream.of(WeightType.values()).map(type -> Arguments.of(set, type)));
    }

    static Stream<Arguments> setsAndCaches() {
        return NativeSets.all().flatMap(set -> Stream.of(KvCacheType.values()).map(type -> Arguments.of(set, type)));
    }

    /** A decoder on a backend. */
    private static final class Model implements AutoCloseable {
        private final Ops ops;
        private final QwenWeights weights;
        private final KvPages pool = new KvPages(PAGES);
        private final QwenDecoder decoder;
        private final Batch batch;

        Model(Path file, InstructionSet set, int threads, KvCacheType cacheType) {
            ops = NativeSets.provider().create(new OpsOptions(threads, set));
            try (Checkpoint checkpoint = CheckpointReader.open(file, ModelLimits.DEFAULT)) {
                QwenConfig c = checkpoint.config();
                weights = QwenWeights.load(checkpoint, ops, null, false, ProgressListener.none());
                KvCache cache =
                        ops.kvCache(new KvLayout(cacheType, c.layers(), PAGES, KvPages.PAGE_TOKENS, c.kvHeads(), c.headSize()));
                decoder = new QwenDecoder(c, weights, ops, MAX_TOKENS, MAX_TOKENS, cache);
                batch = new Batch(ops, MAX_TOKENS, LENGTHS.length, PAGES, KvPages.PAGE_TOKENS);
            }
        }

        @Override
        public void close() {
            decoder.close();
            batch.close();
            weights.close();
            ops.close();
        }
    }

    /** How many tokens a sequence gets in a step, of those that are left. */
    private interface Slices {
        int next(int sequence, int done, int left);
    }

    /** Runs the sequences beside each other and returns the logits of each, (tokens, V). */
    private static float[][] run(Model model, int[][] sequences, Slices slices) {
        float[][] logits = new float[sequences.length][];
        PageTable[] tables = new PageTable[sequences.length];
        int[] done = new int[sequences.length];
        for (int s = 0; s < sequences.length; s++) {
            logits[s] = new float[sequences[s].length * VOCABULARY];
            tables[s] = new PageTable(model.pool);
        }
        int left = Arrays.stream(sequences).mapToInt(s -> s.length).sum();
        while (left > 0) {
            int[] counts = new int[sequences.length];
            int room = MAX_TOKENS;
            for (int s = 0; s < sequences.length; s++) {
                int wanted = Math.min(room, sequences[s].length - done[s]);
                counts[s] = wanted == 0 ? 0 : Math.min(wanted, slices.next(s, done[s], wanted));
                room -= counts[s];
                if (counts[s] > 0) {
                    assertTrue(tables[s].reserve(done[s] + counts[s]));
                    model.batch.beginSequence(done[s], tables[s].pages(), tables[s].count());
                    for (int t = done[s]; t < done[s] + counts[s]; t++) {
                        model.batch.addToken(sequences[s][t], true);
                    }
                }
            }
            if (room == MAX_TOKENS) {
                continue;
            }
            Activation out = model.decoder.forward(model.batch);
            int row = 0;
            for (int s = 0; s < sequences.length; s++) {
                out.buffer().get(row * VOCABULARY, logits[s], done[s] * VOCABULARY, counts[s] * VOCABULARY);
                row += counts[s];
                done[s] += counts[s];
                left -= counts[s];
            }
            model.batch.clear();
        }
        for (PageTable table : tables) {
            table.close();
        }
        return logits;
    }

    /** Prompts in slices of any size, the last tokens one by one; now and then a sequence waits. */
    private static Slices ragged(long seed) {
        Random random = new Random(seed);
        return (sequence, done, left) -> {
            int slice = switch (random.nextInt(4)) {
                case 0 -> 0;
                case 1 -> 1;
                case 2 -> 1 + random.nextInt(16);
                default -> 1 + random.nextInt(100);
            };
            return left <= 4 ? Math.min(1, slice) : Math.min(slice, left - 4);
        };
    }

    private static int[][] sequences(int count, int first) {
        int[][] sequences = new int[count][];
        for (int s = 0; s < count; s++) {
            sequences[s] = new Random(SEED + s).ints(s == 0 ? first : LENGTHS[s], 0, VOCABULARY).toArray();
        }
        return sequences;
    }

    private static void assertSame(float[] expected, float[] found, String what) {
        int at = Arrays.mismatch(expected, found);
        if (at >= 0) {
            fail(what + ": logit " + at % VOCABULARY + " of token " + at / VOCABULARY + " is " + found[at] + ", alone " + expected[at]);
        }
    }

    private Path write(WeightType type, int hidden, int heads, int kvHeads) {
        boolean tied = type.ordinal() % 2 == 0;
        var rope = new QwenConfig.Rope(1e6, null);
        return write(type, new QwenConfig("qwen2", 2, hidden, heads, kvHeads, 64, 512, VOCABULARY, tied, 1e-6f, 1024, rope));
    }

    private Path write(WeightType type, QwenConfig config) {
        if (!type.isGguf()) {
            PublishedCheckpoint.Form form = config.tiedHead() ? PublishedCheckpoint.Form.ACT_ORDER : PublishedCheckpoint.Form.GPTQ;
            return PublishedCheckpoint.write(directory.resolve("m"), config, type, form, false, SEED);
        }
        Path file = directory.resolve("m.gguf");
        Synthesizer.synthesizeFile("same bits", config, 300, type, SEED, file, ProgressListener.none());
        return file;
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void neighboursSlicesAndThreadsChangeNothing(InstructionSet set, WeightType type) {
        neighboursSlicesAndThreadsChangeNothing(set, type, write(type, 256, 4, 2));
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void neighboursChangeNothingAmongExperts(InstructionSet set, WeightType type) {
        var rope = new QwenConfig.Rope(1e6, null);
        var config = new QwenConfig("qwen2_moe", 2, 256, 4, 2, 64, 512, VOCABULARY, false, 1e-6f, 1024, rope)
                .with(new QwenConfig.Experts(9, 3, 256, 256, type.ordinal() % 2 == 0, 1, java.util.Set.of()));
        neighboursSlicesAndThreadsChangeNothing(set, type, write(type, config));
    }

    /**
     * Two of one to four threads, so that each pair of instruction set and threads, of type and threads, and of set and type is there: how
     * work is shared does not depend on all three.
     */
    private static int[] threads(InstructionSet set, Enum<?> type) {
        int first = (set.ordinal() + type.ordinal() + type.ordinal() / 4) % 4;
        return new int[] {1 + first, 1 + (first + (type.ordinal() % 2 == 0 ? 2 : 1)) % 4};
    }

    private static void neighboursSlicesAndThreadsChangeNothing(InstructionSet set, WeightType type, Path file) {
        int[][] all = sequences(LENGTHS.length, LENGTHS[0]);
        float[][] alone = new float[all.length][];
        try (Model model = new Model(file, set, 1, KvCacheType.F16)) {
            for (int s = 0; s < all.length; s++) {
                alone[s] = run(model, new int[][] {all[s]}, (sequence, done, left) -> left)[0];
            }
        }
        for (int threads : threads(set, type)) {
            try (Model model = new Model(file, set, threads, KvCacheType.F16)) {
                for (int count = threads; count <= all.length; count += 4) {
                    String what = set + " " + type + ", " + threads + " threads, " + count + " sequences, sequence ";
                    float[][] beside = run(model, Arrays.copyOf(all, count), ragged(SEED + count));
                    float[][] atOnce = run(model, Arrays.copyOf(all, count), (sequence, done, left) -> left);
                    for (int s = 0; s < count; s++) {
                        assertSame(alone[s], beside[s], what + s + " in slices");
                        assertSame(alone[s], atOnce[s], what + s + " at once");
                    }
                }
                float[] oneByOne = run(model, new int[][] {all[4]}, (sequence, done, left) -> 1)[0];
                assertSame(alone[4], oneByOne, set + " " + type + ", " + threads + " threads, token by token");
            }
        }
    }

    /** A context long enough to be shared among threads, with seven query heads to a key as in the 0.5B and 7B models. */
    @ParameterizedTest
    @MethodSource("setsAndCaches")
    void longContextsChangeNothing(InstructionSet set, KvCacheType cache) {
        Path file = write(WeightType.Q8_0, 448, 7, 1);
        int[][] all = sequences(5, LONG);
        float[] alone;
        try (Model model = new Model(file, set, 1, cache)) {
            alone = run(model, new int[][] {all[0]}, (sequence, done, left) -> Math.min(left, 256))[0];
        }
        for (int threads : threads(set, cache)) {
            try (Model model = new Model(file, set, threads, cache)) {
                String what = set + " " + cache + ", " + threads + " threads, a long context ";
                // Ten single tokens at the end.
                Slices slices = (sequence, done, left) -> sequence > 0 || done >= LONG - 10 ? 1 : Math.min(LONG - 10 - done, 300);
                assertSame(alone, run(model, new int[][] {all[0]}, slices)[0], what + "alone");
                assertSame(alone, run(model, all, slices)[0], what + "beside others");
            }
        }
    }
}
