package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.order;
import static io.qwen4j.natives.Tensors.random;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Routing;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import io.qwen4j.natives.Tensors.Ordered;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Matrices whose columns are stored in another order, as of GPTQ with act order: parts and experts with orders of their own. */
@NeedsNative
class ColumnOrderTest {
    private static final long SEED = 29;
    private static final int COLUMNS = 384;
    private static final int EXPERTS = 4;
    private static final int USED = 2;

    static Stream<Arguments> setsAndPrecisions() {
        return Instances.instructionSets().flatMap(set -> Stream.of(ActivationPrecision.values()).map(p -> Arguments.of(set, p)));
    }

    private static double bound(ActivationPrecision precision) {
        return (precision == ActivationPrecision.INT8 ? 4e-2 : 4e-4) * Math.sqrt(COLUMNS);
    }

    /** Of sums of {@link #COLUMNS} products of values of deviation 1: orders that are mixed up differ by many deviations. */
    private static void assertWithin(float[] expected, float[] actual, double bound, String what) {
        assertEquals(expected.length, actual.length);
        for (int i = 0; i < expected.length; i++) {
            String place = what + ": element " + i + " is " + actual[i] + ", expected " + expected[i];
            assertTrue(Math.abs(expected[i] - actual[i]) <= bound, place);
        }
    }

    /** Two orders, each twice; parts in no other order, of integer and of float types. */
    private static List<TensorSource> parts(Random random) {
        int[] a = order(COLUMNS, random);
        int[] b = order(COLUMNS, random);
        return List.of(
                new Ordered(random(WeightType.INT4_G32, 21, COLUMNS, random), a),
                new Ordered(random(WeightType.INT8_G128, 16, COLUMNS, random), b),
                random(WeightType.F32, 5, COLUMNS, random),
                new Ordered(random(WeightType.INT4_G128, 40, COLUMNS, random), a.clone()),
                random(WeightType.Q4_0, 17, COLUMNS, random),
                new Ordered(random(WeightType.INT8_G32, 33, COLUMNS, random), b),
                random(WeightType.BF16, 8, COLUMNS, random));
    }

    private static float[] linear(Ops ops, List<TensorSource> parts, float[] x, int tokens, boolean add) {
        try (Weight w = ops.matrix(parts, b -> {});
                Activation in = activation(ops, tokens, COLUMNS, x);
                Activation out = ops.activation(tokens, w.rows())) {
            if (add) {
                ops.linearAdd(in, tokens, w, out);
                ops.linearAdd(in, tokens, w, out);
            } else {
                ops.linear(in, tokens, w, null, out);
            }
            return read(out);
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndPrecisions")
    void partsHaveOrdersOfTheirOwn(InstructionSet set, ActivationPrecision precision) {
        Random random = new Random(SEED);
        List<TensorSource> mixed = parts(random);
        List<TensorSource> one = List.of(mixed.get(0), mixed.get(3));
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 3, precision)) {
            for (int tokens : new int[] {1, 2, 5, 9, 70}) {
                float[] x = values(tokens * COLUMNS, random);
                for (List<TensorSource> parts : List.of(mixed, one, List.of(mixed.get(1)), List.of(mixed.get(4), mixed.get(1)))) {
                    for (boolean add : new boolean[] {false, true}) {
                        String what = set + " " + precision + ", " + parts.size() + " parts, " + tokens + " tokens, seed " + SEED;
                        assertWithin(
                                linear(java, parts, x, tokens, add), linear(cpu, parts, x, tokens, add), 2 * bound(precision), what);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndPrecisions")
    void aTokenHasTheSameBitsAloneInABatchAndOnAnyNumberOfThreads(InstructionSet set, ActivationPrecision precision) {
        Random random = new Random(SEED);
        List<TensorSource> parts = parts(random);
        int tokens = 40;
        float[] x = values(tokens * COLUMNS, random);
        float[] expected;
        try (Ops one = Instances.cpu(set, 1, precision)) {
            expected = linear(one, parts, x, tokens, false);
        }
        int rows = expected.length / tokens;
        try (Ops many = Instances.cpu(set, 4, precision)) {
            assertSameBits(expected, linear(many, parts, x, tokens, false), set + ", 4 threads");
            int fewest = Instances.fewestTokens(tokens);
            for (int t : new int[] {0, 17, tokens - fewest}) {
                float[] alone = linear(many, parts, Arrays.copyOfRange(x, t * COLUMNS, (t + fewest) * COLUMNS), fewest, false);
                assertSameBits(Arrays.copyOfRange(expected, t * rows, (t + fewest) * rows), alone, set + ", token " + t + " alone");
            }
        }
    }

    /** Gate and up of each expert. */
    private static List<List<TensorSource>> experts(Random random) {
        int[][] orders = new int[2 * EXPERTS][];
        for (int i = 0; i < orders.length; i++) {
            orders[i] = order(COLUMNS, random);
        }
        List<List<TensorSource>> all = new ArrayList<>();
        for (int variant = 0; variant < 4; variant++) {
            List<TensorSource> parts = new ArrayList<>();
            for (int i = 0; i < 2 * EXPERTS; i++) {
                TensorSource stored = random(WeightType.INT4_G32, 24, COLUMNS, random);
                boolean plain = variant == 3 && i % 3 == 0;
                int[] order = orders[variant == 0 ? 0 : variant == 1 ? i / 2 : i];
                parts.add(plain ? stored : new Ordered(stored, order));
            }
            all.add(parts);
        }
        return all;
    }

    private static float[] experts(Ops ops, List<TensorSource> parts, float[] scores, float[] x, int tokens, boolean down) {
        try (Weight w = ops.matrix(parts, b -> {});
                Routing routing = new Routing(ops, tokens, EXPERTS, USED, true);
                Activation s = activation(ops, tokens, EXPERTS, scores);
                Activation in = activation(ops, down ? tokens * USED : tokens, COLUMNS, x);
                Activation out = ops.activation(down ? tokens : tokens * USED, w.rows() / EXPERTS)) {
            ops.route(s, tokens, routing);
            if (down) {
                ops.expertLinearAdd(in, routing, w, out);
            } else {
                ops.expertLinear(in, routing, w, out);
            }
            return read(out);
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndPrecisions")
    void expertsHaveOrdersOfTheirOwn(InstructionSet set, ActivationPrecision precision) {
        Random random = new Random(SEED);
        List<List<TensorSource>> variants = experts(random);
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 2, precision)) {
            for (int tokens : new int[] {1, 3, 40}) {
                float[] scores = values(tokens * EXPERTS, random);
                float[] x = values(tokens * USED * COLUMNS, random);
                float[] first = Arrays.copyOf(x, tokens * COLUMNS);
                for (int v = 0; v < variants.size(); v++) {
                    String what = set + " " + precision + ", variant " + v + ", " + tokens + " tokens, seed " + SEED;
                    List<TensorSource> parts = variants.get(v);
                    assertWithin(
                            experts(java, parts, scores, first, tokens, false), experts(cpu, parts, scores, first, tokens, false),
                            bound(precision), what);
                    List<TensorSource> single = new ArrayList<>();
                    for (int e = 0; e < EXPERTS; e++) {
                        single.add(parts.get(2 * e));
                    }
                    assertWithin(
                            experts(java, single, scores, x, tokens, true), experts(cpu, single, scores, x, tokens, true),
                            USED * bound(precision), what + ", added");
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void refusesOrdersThatAreNone(InstructionSet set) {
        Random random = new Random(SEED);
        TensorSource w = random(WeightType.INT4_G32, 16, 64, random);
        int[] twice = order(64, random);
        twice[5] = twice[6];
        int[] outside = order(64, random);
        outside[63] = 64;
        int[] negative = order(64, random);
        negative[0] = -1;
        try (Ops cpu = Instances.cpu(set, 1)) {
            for (int[] order : List.of(twice, outside, negative, order(63, random), order(65, random), new int[0])) {
                assertThrows(IllegalArgumentException.class, () -> cpu.matrix(List.of(new Ordered(w, order)), b -> {}));
            }
            TensorSource floats = new Ordered(random(WeightType.F32, 16, 64, random), order(64, random));
            assertThrows(IllegalArgumentException.class, () -> cpu.matrix(List.of(floats), b -> {}));
            try (Weight table = cpu.matrix(List.of(new Ordered(w, order(64, random))), b -> {});
                    Batch batch = new Batch(cpu, 4, 1, 1, 16);
                    Activation x = cpu.activation(4, 64)) {
                batch.beginSequence(0, new int[] {0}, 1);
                batch.addToken(3, true);
                assertThrows(IllegalArgumentException.class, () -> cpu.embed(table, batch, x));
            }
        }
    }
}
