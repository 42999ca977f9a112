package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertClose;
import static io.qwen4j.natives.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import io.qwen4j.KvCacheType;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Rotations;
import io.qwen4j.core.ops.Weight;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Rotation, KV cache and attention together, over steps that mix prefill and decode of several sequences. */
@Tag("kernels")
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

        AttentionShape shape(KvCacheType type) {
            float scale = (float) (1 / Math.sqrt(headSize));
            return new AttentionShape(group * kvHeads, kvHeads, headSize, scale, chunk, layout(type, 1).keysCentred());
        }

        KvLayout layout(KvCacheType type, int pageCount) {
            return new KvLayout(type, LAYERS, pageCount, pageTokens, kvHeads, headSize);
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

    private static final Case[] CASES = cases(
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
        new Case(2, 1, 16, 16, new int[][] {{600}, {1}, {9}}),
        // Chunks that end within panels, within slices and between steps; several of them in one panel.
        new Case(7, 1, 32, 32, 24, new int[][] {{150, 3}, {1, 22}, {1, 1}}),
        new Case(1, 2, 16, 16, 16, new int[][] {{15, 70}, {1, 1}, {1, 1}, {17, 1}}),
        new Case(5, 1, 48, 5, 3, new int[][] {{40}, {1}, {1}, {7}}),
        new Case(2, 1, 16, 32, 1, new int[][] {{33}, {1}}),
        new Case(70, 1, 16, 16, 7, new int[][] {{5, 20}, {1, 1}}),
        new Case(2, 1, 32, 32, 700, new int[][] {{2900}, {1}, {5}}),
        new Case(3, 1, 16, 32, 1_000_000, new int[][] {{1100}, {1}}));

    private static final Map<List<Object>, float[][]> DEFINITIONS = new HashMap<>();

    @AfterAll
    static void forget() {
        DEFINITIONS.clear();
    }

    /** An emulated device takes a hundred times as long: of long texts it has those that are enough for some of its splits. */
    private static Case[] cases(Case... all) {
        return Arrays.stream(all).filter(c -> !Instances.CUDA || c.length(0) <= 1200).toArray(Case[]::new);
    }

    static Stream<Arguments> setsAndTypes() {
        return Instances.instructionSets().flatMap(set -> Arrays.stream(KvCacheType.values()).map(type -> Arguments.of(set, type)));
    }

    /** What all instruction sets are held against: the slow half of this test, computed once. */
    private static float[][] definition(Case c, KvCacheType type, Rows source) {
        return DEFINITIONS.computeIfAbsent(List.of(c, type, source), key -> {
            try (Ops java = Instances.java()) {
                return run(java, c, type, source);
            }
        });
    }

    /** The CPU attends in the same way whatever the precision; a device takes queries and weights as 16 bits once, or as two terms. */
    static Stream<Arguments> setsTypesAndPrecisions() {
        return setsAndTypes().flatMap(a -> precisions().map(p -> Arguments.of(a.get()[0], a.get()[1], p)));
    }

    static Stream<Arguments> setsAndPrecisions() {
        return Instances.instructionSets().flatMap(set -> precisions().map(p -> Arguments.of(set, p)));
    }

    private static Stream<ActivationPrecision> precisions() {
        return Instances.CUDA ? Arrays.stream(ActivationPrecision.values()) : Stream.of(ActivationPrecision.INT8);
    }

    private static boolean plain(ActivationPrecision precision) {
        return Instances.CUDA && precision == ActivationPrecision.INT8;
    }

    @ParameterizedTest
    @MethodSource("setsTypesAndPrecisions")
    void agreesWithTheDefinition(InstructionSet set, KvCacheType type, ActivationPrecision precision) {
        for (Case c : CASES) {
            // Rotated keys may differ in their last bit and then be rounded to neighbours: 2^-9 of one element for BF16.
            // Of 8 bits it may be 2^-7 of the largest element. Queries and weights in BF16, or weights of values in 8 bits, have 2^-9 each.
            double bound = type == KvCacheType.F32 ? 2e-5 : type == KvCacheType.INT8 ? 1e-2 : 2e-3;
            if (plain(precision) && (type == KvCacheType.BF16 || type == KvCacheType.INT8)) {
                bound = 2e-2;
            }
            try (Ops cpu = Instances.cpu(set, 2, precision)) {
                float[][] expected = definition(c, type, RANDOM);
                float[][] actual = run(cpu, c, type, RANDOM);
                for (int step = 0; step < expected.length; step++) {
                    assertClose(expected[step], actual[step], bound, set + " " + type + ", " + c + ", step " + step + ", seed " + SEED);
                }
            }
        }
    }

    /** Rows that 8 bits hold without a loss: what is left is that queries and weights have 16. */
    @ParameterizedTest
    @MethodSource("setsAndPrecisions")
    void agreesWithTheDefinitionWhere8BitsAreExact(InstructionSet set, ActivationPrecision precision) {
        double bound = plain(precision) ? 1e-2 : 2e-4;
        for (Case c : CASES) {
            try (Ops cpu = Instances.cpu(set, 2, precision)) {
                float[][] expected = definition(c, KvCacheType.INT8, EXACT);
                float[][] actual = run(cpu, c, KvCacheType.INT8, EXACT);
                for (int step = 0; step < expected.length; step++) {
                    assertClose(expected[step], actual[step], bound, set + ", " + c + ", step " + step + ", seed " + SEED);
                }
            }
        }
    }

    /** From the token on that has it, whichever of key and value. */
    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void whatIsNotFiniteIsNotLost(InstructionSet set, KvCacheType type) {
        Case c = new Case(7, 2, 64, 32, new int[][] {{20}, {1}, {1}, {1}});
        AttentionShape shape = c.shape(type);
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            for (int at : new int[] {shape.heads() * 64 + 70, shape.qkvWidth() - 1}) {
                try (Ops cpu = Instances.cpu(set, 2)) {
                    float[][] results = run(cpu, c, type, new Rows() {
                        @Override
                        public float[] next(Case of, AttentionShape shape, float[] bias, int sequence, int position) {
                            float[] row = RANDOM.next(of, shape, bias, sequence, position);
                            row[at] = position == 21 ? bad : row[at];
                            return row;
                        }
                    });
                    for (int step = 0; step < results.length; step++) {
                        boolean finite = true;
                        for (int i = 0; i < c.steps()[step][0] * shape.queryWidth(); i++) {
                            finite &= Float.isFinite(results[step][i]);
                        }
                        assertEquals(step < 2, finite, set + " " + type + ", " + bad + " at " + at + ", step " + step);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void sameBitsOnAnyNumberOfThreads(InstructionSet set, KvCacheType type) {
        for (Case c : CASES) {
            if (Instances.CUDA && c.length(0) > 100) {
                continue; // A device knows no threads: what is left to compare is two instances.
            }
            try (Ops one = Instances.cpu(set, 1);
                    Ops three = Instances.cpu(set, 3)) {
                float[][] expected = run(one, c, type, RANDOM);
                float[][] actual = run(three, c, type, RANDOM);
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
            if (c.length(0) > (Instances.CUDA ? 700 : 2000)) {
                continue; // 10 s of single steps; the split lengths are covered by the case of 1700, those of a device by 600
            }
            try (Ops cpu = Instances.cpu(set, 2)) {
                float[] whole = last(run(cpu, c, type, RANDOM), c);
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
                assertSameBits(whole, last(run(cpu, tokens, type, RANDOM), tokens), set + " " + type + ", " + c);
            }
        }
    }

    /** Output of the last token of sequence 0 in the last step. */
    private static float[] last(float[][] steps, Case c) {
        int width = c.group() * c.kvHeads() * c.headSize();
        int at = c.steps()[c.steps().length - 1][0] - 1;
        return Arrays.copyOfRange(steps[steps.length - 1], at * width, (at + 1) * width);
    }

    /** Where q, k and v come from. They depend on sequence and position alone, whatever the steps. */
    private interface Rows {
        float[] next(Case c, AttentionShape shape, float[] bias, int sequence, int position);

        /** Whether keys are as they are given after rotation, too. */
        default boolean exact() {
            return false;
        }
    }

    private static final Rows RANDOM = (c, shape, bias, sequence, position) -> {
        float[] row = values(shape.qkvWidth(), random(sequence, position));
        int keys = shape.heads() * c.headSize();
        for (int i = keys; shape.keysCentred() && i < keys + shape.kvHeads() * c.headSize(); i++) {
            row[i] += bias[i];
        }
        return row;
    };

    /** Values, and keys less their centre, are m / 64 with m = -127 .. 127, the largest of them 127 / 64; some rows are zero. */
    private static final Rows EXACT = new Rows() {
        @Override
        public float[] next(Case c, AttentionShape shape, float[] bias, int sequence, int position) {
            Random random = random(sequence, position);
            float[] row = values(shape.qkvWidth(), random);
            int size = c.headSize();
            float[] rotation = new float[shape.rotationWidth()];
            rotate(c, shape, position / c.pageTokens() * c.pageTokens(), true, rotation, 0);
            for (int h = shape.heads(); h < shape.heads() + 2 * shape.kvHeads(); h++) {
                boolean zero = random.nextInt(8) == 0;
                int at = h * size;
                for (int i = 0; i < size; i++) {
                    row[at + i] = zero ? 0 : (random.nextInt(255) - 127) / 64f;
                }
                row[at + random.nextInt(size)] = zero ? 0 : 127 / 64f;
                for (int i = 0; h < shape.heads() + shape.kvHeads() && i < size / 2; i++) {
                    float cos = rotation[shape.centreAt() + i];
                    float sin = rotation[shape.centreAt() + size / 2 + i];
                    row[at + i] += bias[at + i] * cos - bias[at + size / 2 + i] * sin;
                    row[at + size / 2 + i] += bias[at + size / 2 + i] * cos + bias[at + i] * sin;
                }
            }
            return row;
        }

        @Override
        public boolean exact() {
            return true;
        }
    };

    private static Random random(int sequence, int position) {
        Random random = new Random(1 + 1_000_003L * sequence + position);
        random.nextLong();
        return random;
    }

    /** Multiples of 1/64 up to 8, which half precision holds. */
    private static float[] bias(AttentionShape shape) {
        float[] bias = new float[shape.qkvWidth()];
        Random random = new Random(SEED);
        for (int i = 0; i < bias.length; i++) {
            bias[i] = (random.nextInt(1025) - 512) / 64f;
        }
        return bias;
    }

    /**
     * Each section has angles of its own: those of dual chunk attention, with queries of other chunks 1.5 and 2 chunks ahead.
     *
     * @param exact keys are not rotated, their centres by quarters of a turn
     */
    private static void rotate(Case c, AttentionShape shape, int position, boolean exact, float[] to, int at) {
        double offset = c.chunk() == 0 ? position : position % c.chunk();
        double[] positions = {
            offset, offset, Math.min(offset + c.chunk(), 1.5 * c.chunk()), 2.0 * c.chunk(), offset + c.chunk(), offset + 2.0 * c.chunk()
        };
        int size = c.headSize();
        for (int section = 0; section < Rotations.sections(c.chunk() > 0, false); section++) {
            double turns = exact && section == Rotations.KEY ? 0 : positions[section];
            for (int i = 0; i < size / 2; i++) {
                double angle = turns * Math.pow(10000, -2.0 * i / size);
                to[at + section * size + i] = (float) Math.cos(angle);
                to[at + section * size + size / 2 + i] = (float) Math.sin(angle);
            }
        }
        for (int i = 0; shape.keysCentred() && i < size / 2; i++) {
            double quarters = exact ? position / c.pageTokens() + i : offset * Math.pow(10000, -2.0 * i / size) * 2 / Math.PI;
            double length = exact ? 1 : 0.75;
            double cos = length * Math.cos(quarters * Math.PI / 2);
            double sin = length * Math.sin(quarters * Math.PI / 2);
            to[at + shape.centreAt() + i] = (float) (exact ? Math.rint(cos) : cos);
            to[at + shape.centreAt() + size / 2 + i] = (float) (exact ? Math.rint(sin) : sin);
        }
    }

    /** For each step the rotated q, k and v and after it the output; the output alone comes first for the last step's comparison. */
    private static float[][] run(Ops ops, Case c, KvCacheType type, Rows source) {
        AttentionShape shape = c.shape(type);
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
        float[] bias = bias(shape);
        try (KvCache cache = ops.kvCache(c.layout(type, pageCount));
                Weight added = ops.vector(List.of(Tensors.source(WeightType.F32, 1, bias.length, bias)));
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
                        float[] row = source.next(c, shape, bias, b, position);
                        System.arraycopy(row, 0, rows, at * shape.qkvWidth(), shape.qkvWidth());
                        rotate(c, shape, position, source.exact(), rotations, at * shape.rotationWidth());
                        batch.addToken(0, false);
                        at++;
                    }
                    cached[b] += counts[b];
                }
                try (Activation qkv = activation(ops, tokens, shape.qkvWidth(), rows);
                        Activation rotation = activation(ops, tokens, shape.rotationWidth(), rotations);
                        Activation out = ops.activation(tokens, shape.queryWidth())) {
                    ops.rotateAndStore(qkv, added, rotation, batch, shape, cache, LAYER);
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
