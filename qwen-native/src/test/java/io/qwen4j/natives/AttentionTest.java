package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertClose;
import static io.qwen4j.natives.Tolerance.assertSameBits;

import io.qwen4j.InstructionSet;
import io.qwen4j.KvCacheType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Rotation, KV cache and attention together, over steps that mix prefill and decode of several sequences. */
@NeedsNative
class AttentionTest {
    private static final long SEED = 5;
    private static final int LAYERS = 2;
    private static final int LAYER = 1;

    /** What is computed: the shape, the chunk length (0 for plain attention), and for each step the tokens of each sequence. */
    record Case(int group, int kvHeads, int headSize, int pageTokens, int chunk, int[][] steps) {
        Case(int group, int kvHeads, int headSize, int pageTokens, int[][] steps) {
            this(group, kvHeads, headSize, pageTokens, 0, steps);
        }

        int sequences() {
            return steps[0].length;
        }

        AttentionShape shape() {
            return new AttentionShape(group * kvHeads, kvHeads, headSize, (float) (1 / Math.sqrt(headSize)), chunk);
        }

        int length(int b) {
            return Arrays.stream(steps).mapToInt(s -> s[b]).sum();
        }

        int pages(int b) {
            return (length(b) + pageTokens - 1) / pageTokens;
        }

        @Override
        public String toString() {
            return "group " + group + ", " + kvHeads + " kv heads of " + headSize + ", pages of " + pageTokens + ", chunks of " + chunk;
        }
    }

    private static final Case[] CASES = {
        new Case(1, 1, 16, 16, new int[][] {{1}, {1}, {14}, {1}, {1}}),
        new Case(5, 2, 48, 16, new int[][] {{7, 0, 30}, {1, 20, 1}, {1, 1, 40}}),
        new Case(6, 2, 64, 32, new int[][] {{33, 3}, {1, 70}, {1, 1}}),
        new Case(7, 2, 64, 64, new int[][] {{70, 1}, {1, 1}, {20, 1}}),
        new Case(8, 1, 128, 5, new int[][] {{40, 8}, {1, 1}, {3, 9}}),
        new Case(2, 3, 80, 20, new int[][] {{25, 60}, {1, 1}, {8, 0}}),
        new Case(70, 1, 16, 16, new int[][] {{5, 20}, {1, 1}}),
        new Case(1, 1, 256, 128, new int[][] {{130}, {1}}),
        // Longer than two splits of 1024 keys.
        new Case(5, 1, 16, 64, new int[][] {{2400}, {1}, {9}}),
        new Case(2, 1, 16, 24, new int[][] {{1700}, {1}}),
        // Chunks that end within panels, within slices and between steps; several of them in one panel.
        new Case(7, 1, 32, 32, 24, new int[][] {{150, 3}, {1, 22}, {1, 1}}),
        new Case(1, 2, 16, 16, 16, new int[][] {{15, 70}, {1, 1}, {1, 1}, {17, 1}}),
        new Case(5, 1, 48, 5, 3, new int[][] {{40}, {1}, {1}, {7}}),
        new Case(2, 1, 16, 32, 1, new int[][] {{33}, {1}}),
        new Case(70, 1, 16, 16, 7, new int[][] {{5, 20}, {1, 1}}),
        new Case(6, 1, 64, 32, 700, new int[][] {{2900}, {1}, {5}}),
        new Case(3, 1, 16, 32, 1_000_000, new int[][] {{1100}, {1}}),
    };

    static Stream<Arguments> setsAndTypes() {
        return Instances.instructionSets().flatMap(set -> Arrays.stream(KvCacheType.values()).map(type -> Arguments.of(set, type)));
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void agreesWithTheDefinition(InstructionSet set, KvCacheType type) {
        for (Case c : CASES) {
            // Rotated keys may differ in their last bit and then be rounded to neighbours: 2^-9 of one element for BF16.
            double bound = type == KvCacheType.F32 ? 2e-5 : 2e-3;
            try (Ops java = Instances.java();
                    Ops cpu = Instances.cpu(set, 2)) {
                float[][] expected = run(java, c, type, 1);
                float[][] actual = run(cpu, c, type, 1);
                for (int step = 0; step < expected.length; step++) {
                    assertClose(expected[step], actual[step], bound, set + " " + type + ", " + c + ", step " + step + ", seed " + SEED);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void sameBitsOnAnyNumberOfThreads(InstructionSet set, KvCacheType type) {
        for (Case c : CASES) {
            try (Ops one = Instances.cpu(set, 1);
                    Ops three = Instances.cpu(set, 3)) {
                float[][] expected = run(one, c, type, 1);
                float[][] actual = run(three, c, type, 1);
                for (int step = 0; step < expected.length; step++) {
                    assertSameBits(expected[step], actual[step], set + " " + type + ", " + c + ", step " + step);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void sameBitsTokenByToken(InstructionSet set, KvCacheType type) {
        for (Case c : CASES) {
            if (c.length(0) > 2000) {
                continue; // 10 s of single steps; the split lengths are covered by the case of 1700
            }
            try (Ops cpu = Instances.cpu(set, 2)) {
                float[] whole = last(run(cpu, c, type, 1), c);
                int[][] single = new int[c.length(0)][c.sequences()];
                for (int b = 0; b < c.sequences(); b++) {
                    for (int t = 0; t < Math.min(c.length(b), single.length); t++) {
                        single[t][b] = 1;
                    }
                    if (single.length > 0 && c.length(b) > single.length) {
                        single[single.length - 1][b] += c.length(b) - single.length;
                    }
                }
                Case tokens = new Case(c.group(), c.kvHeads(), c.headSize(), c.pageTokens(), c.chunk(), single);
                assertSameBits(whole, last(run(cpu, tokens, type, 1), tokens), set + " " + type + ", " + c);
            }
        }
    }

    /** Output of the last token of sequence 0 in the last step. */
    private static float[] last(float[][] steps, Case c) {
        int width = c.group() * c.kvHeads() * c.headSize();
        int at = c.steps()[c.steps().length - 1][0] - 1;
        return Arrays.copyOfRange(steps[steps.length - 1], at * width, (at + 1) * width);
    }

    /** Each section has angles of its own: those of dual chunk attention, with queries of other chunks 1.5 and 2 chunks ahead. */
    private static void rotate(Case c, int position, float[] to, int at) {
        double offset = c.chunk() == 0 ? position : position % c.chunk();
        double[] positions = {
            offset, offset, Math.min(offset + c.chunk(), 1.5 * c.chunk()), 2.0 * c.chunk(), offset + c.chunk(), offset + 2.0 * c.chunk()
        };
        int size = c.headSize();
        for (int section = 0; section < c.shape().rotationWidth() / size; section++) {
            for (int i = 0; i < size / 2; i++) {
                double angle = positions[section] * Math.pow(10000, -2.0 * i / size);
                to[at + section * size + i] = (float) Math.cos(angle);
                to[at + section * size + size / 2 + i] = (float) Math.sin(angle);
            }
        }
    }

    /** For each step the rotated q, k and v and after it the output; the output alone comes first for the last step's comparison. */
    private static float[][] run(Ops ops, Case c, KvCacheType type, long seed) {
        AttentionShape shape = c.shape();
        int pageCount = 0;
        int longest = 0;
        for (int b = 0; b < c.sequences(); b++) {
            pageCount += c.pages(b);
            longest = Math.max(longest, c.pages(b));
        }
        // Pages of the sequences interleave, in an order that is not ascending.
        int[][] tables = new int[c.sequences()][longest];
        int next = pageCount - 1;
        for (int i = 0; i < longest; i++) {
            for (int b = 0; b < c.sequences(); b++) {
                if (i < c.pages(b)) {
                    tables[b][i] = next--;
                }
            }
        }
        float[][] results = new float[c.steps().length][];
        int[] cached = new int[c.sequences()];
        int mostTokens = Arrays.stream(c.steps()).mapToInt(s -> Arrays.stream(s).sum()).max().orElseThrow();
        KvLayout layout = new KvLayout(type, LAYERS, pageCount, c.pageTokens(), c.kvHeads(), c.headSize());
        try (KvCache cache = ops.kvCache(layout);
                Batch batch = new Batch(ops, mostTokens, c.sequences(), longest, c.pageTokens())) {
            for (int step = 0; step < results.length; step++) {
                int[] counts = c.steps()[step];
                int tokens = Arrays.stream(counts).sum();
                float[] rows = new float[tokens * shape.qkvWidth()];
                float[] rotations = new float[tokens * shape.rotationWidth()];
                batch.clear();
                int at = 0;
                for (int b = 0; b < counts.length; b++) {
                    batch.beginSequence(cached[b], tables[b], c.pages(b));
                    for (int t = 0; t < counts[b]; t++) {
                        int position = cached[b] + t;
                        // Values depend on sequence and position alone, whatever the steps.
                        Random random = new Random(seed + 1_000_003L * b + position);
                        random.nextLong();
                        System.arraycopy(values(shape.qkvWidth(), random), 0, rows, at * shape.qkvWidth(), shape.qkvWidth());
                        rotate(c, position, rotations, at * shape.rotationWidth());
                        batch.addToken(0, false);
                        at++;
                    }
                    cached[b] += counts[b];
                }
                try (Activation qkv = activation(ops, tokens, shape.qkvWidth(), rows);
                        Activation rotation = activation(ops, tokens, shape.rotationWidth(), rotations);
                        Activation out = ops.activation(tokens, shape.queryWidth())) {
                    ops.rotateAndStore(qkv, rotation, batch, shape, cache, LAYER);
                    ops.attention(qkv, rotation, batch, shape, cache, LAYER, out);
                    float[] rotated = read(qkv);
                    float[] attended = read(out);
                    results[step] = Arrays.copyOf(attended, attended.length + rotated.length);
                    System.arraycopy(rotated, 0, results[step], attended.length, rotated.length);
                }
            }
        }
        return results;
    }
}
