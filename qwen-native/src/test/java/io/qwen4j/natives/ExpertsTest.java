package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.random;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertClose;
import static io.qwen4j.natives.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Routing;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Routing, and the products of experts with their tokens, against the definition. */
@Tag("kernels")
@NeedsNative
class ExpertsTest {
    private static final long SEED = 19;
    private static final float UNTOUCHED = 12345f;
    /** Experts, used, rows of an expert, tokens. */
    private static final int[][] SHAPES = {{1, 1, 1, 1}, {4, 4, 15, 3}, {7, 2, 17, 1}, {60, 4, 40, 9}, {5, 2, 100, 70}, {3, 1, 16, 150}, {64, 8, 48, 2}};

    static Stream<Arguments> setsTypesAndPrecisions() {
        return Instances.instructionSets().flatMap(set -> Arrays.stream(WeightType.values())
                .flatMap(type -> Arrays.stream(ActivationPrecision.values()).map(p -> Arguments.of(set, type, p))));
    }

    /** A case: scores, stacked matrices and inputs of its tokens. */
    private record Case(int experts, int used, boolean normalized, int tokens, float[] scores, List<TensorSource> parts, float[] x, float[] y) {
        static Case of(int[] shape, List<WeightType> types, int columns, boolean normalized, boolean paired, Random random) {
            List<TensorSource> parts = new ArrayList<>();
            for (int e = 0; e < shape[0]; e++) {
                for (int i = 0; i < (paired ? 2 : 1); i++) {
                    parts.add(random(types.get((e + i) % types.size()), shape[2], columns, random));
                }
            }
            int inputs = paired ? shape[3] : shape[3] * shape[1];
            return new Case(shape[0], shape[1], normalized, shape[3], values(shape[3] * shape[0], random), parts, values(inputs * columns, random),
                    values(shape[3] * shape[2], random));
        }

        int columns() {
            return Math.toIntExact(parts.get(0).columns());
        }

        Case token(int t) {
            int width = scores.length / tokens;
            int columns = columns();
            return new Case(experts, used, normalized, 1, Arrays.copyOfRange(scores, t * width, (t + 1) * width), parts,
                    Arrays.copyOfRange(x, t * columns, (t + 1) * columns), y);
        }
    }

    private static Routing routed(Ops ops, Case c) {
        Routing routing = new Routing(ops, c.tokens + 3, c.experts, c.used, c.normalized);
        try (Activation scores = activation(ops, c.tokens, c.experts, c.scores)) {
            ops.route(scores, c.tokens, routing);
            return routing;
        }
    }

    /** {@link Ops#expertLinear}, in the order of tokens, then experts. */
    private static float[] linear(Ops ops, Case c) {
        try (Routing routing = routed(ops, c);
                Weight w = ops.matrix(c.parts, b -> {});
                Activation in = activation(ops, c.tokens, c.columns(), c.x);
                Activation out = ops.activation(routing.pairs() + 1, w.rows() / c.experts)) {
            int rows = out.columns();
            for (int i = 0; i < rows; i++) {
                out.buffer().put(routing.pairs() * rows + i, UNTOUCHED);
            }
            ops.expertLinear(in, routing, w, out);
            float[] pairs = read(out);
            for (int i = routing.pairs() * rows; i < pairs.length; i++) {
                assertEquals(UNTOUCHED, pairs[i], "a row beyond those of the operation was written");
            }
            float[] result = new float[routing.pairs() * rows];
            int[] next = new int[c.tokens];
            for (int p = 0; p < routing.pairs(); p++) {
                int t = routing.token(p);
                System.arraycopy(pairs, p * rows, result, (t * c.used + next[t]++) * rows, rows);
            }
            return result;
        }
    }

    /** {@link Ops#expertLinearAdd}; x has a row for each pair. */
    private static float[] linearAdd(Ops ops, Case c) {
        try (Routing routing = routed(ops, c);
                Weight w = ops.matrix(c.parts, b -> {});
                Activation in = activation(ops, routing.pairs(), c.columns(), c.x);
                Activation out = activation(ops, c.tokens, w.rows() / c.experts, c.y)) {
            ops.expertLinearAdd(in, routing, w, out);
            return read(out);
        }
    }

    private static int columns(WeightType type) {
        return type.blockSize() == 1 ? 100 : type.blockSize() == 32 ? 96 : 256;
    }

    @ParameterizedTest
    @MethodSource("setsTypesAndPrecisions")
    void agreesWithTheDefinition(InstructionSet set, WeightType type, ActivationPrecision precision) {
        Random random = new Random(SEED);
        double bound = !type.isQuantized() ? 2e-5 : precision == ActivationPrecision.INT8 ? 4e-2 : 4e-4;
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 2, precision)) {
            for (int[] shape : SHAPES) {
                boolean normalized = random.nextBoolean();
                String what = set + " " + type + " " + precision + " " + Arrays.toString(shape) + ", seed " + SEED;
                Case pairs = Case.of(shape, List.of(type), columns(type), normalized, true, random);
                assertClose(linear(java, pairs), linear(cpu, pairs), bound, what);
                Case down = Case.of(shape, List.of(type), columns(type), normalized, false, random);
                assertClose(linearAdd(java, down), linearAdd(cpu, down), bound, what + ", added");
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void expertsOfDifferentTypesStandTogether(InstructionSet set) {
        Random random = new Random(SEED);
        List<WeightType> types = Arrays.asList(WeightType.values());
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 3)) {
            Case pairs = Case.of(new int[] {types.size(), 3, 40, 37}, types, 256, true, true, random);
            assertClose(linear(java, pairs), linear(cpu, pairs), 4e-2, set + ", seed " + SEED);
            Case down = Case.of(new int[] {types.size(), 3, 40, 37}, types, 256, true, false, random);
            assertClose(linearAdd(java, down), linearAdd(cpu, down), 4e-2, set + ", added, seed " + SEED);
        }
    }

    @ParameterizedTest
    @MethodSource("setsTypesAndPrecisions")
    void aTokenHasTheSameBitsAloneInABatchAndOnAnyNumberOfThreads(InstructionSet set, WeightType type, ActivationPrecision precision) {
        Random random = new Random(SEED);
        Case all = Case.of(new int[] {6, 2, 70, 41}, List.of(type), columns(type), false, true, random);
        Case down = Case.of(new int[] {6, 2, 70, 41}, List.of(type), columns(type), false, false, random);
        float[] expected;
        float[] added;
        try (Ops one = Instances.cpu(set, 1, precision)) {
            expected = linear(one, all);
            added = linearAdd(one, down);
        }
        for (int threads : Instances.threads(2, 5)) {
            try (Ops many = Instances.cpu(set, threads, precision)) {
                assertSameBits(expected, linear(many, all), set + " " + type + ", " + threads + " threads");
                assertSameBits(added, linearAdd(many, down), set + " " + type + ", added, " + threads + " threads");
                for (int t : new int[] {0, 1, 20, 40}) {
                    int width = expected.length / all.tokens;
                    assertSameBits(Arrays.copyOfRange(expected, t * width, (t + 1) * width), linear(many, all.token(t)),
                            set + " " + type + ", token " + t + " alone");
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void aTokensSumDoesNotDependOnItsNeighbours(InstructionSet set) {
        Random random = new Random(SEED);
        Case all = Case.of(new int[] {5, 3, 33, 130}, List.of(WeightType.Q8_0), 64, true, false, random);
        try (Ops ops = Instances.cpu(set, 2)) {
            float[] expected = linearAdd(ops, all);
            int[] firstPair = new int[all.tokens * all.used];
            try (Routing routing = routed(ops, all)) {
                int[] next = new int[all.tokens];
                for (int p = 0; p < routing.pairs(); p++) {
                    int t = routing.token(p);
                    firstPair[t * all.used + next[t]++] = p;
                }
            }
            for (int t : new int[] {0, 64, 129}) {
                float[] x = new float[all.used * 64];
                for (int k = 0; k < all.used; k++) {
                    System.arraycopy(all.x, firstPair[t * all.used + k] * 64, x, k * 64, 64);
                }
                Case alone = new Case(5, 3, true, 1, Arrays.copyOfRange(all.scores, t * 5, t * 5 + 5), all.parts, x,
                        Arrays.copyOfRange(all.y, t * 33, t * 33 + 33));
                assertSameBits(Arrays.copyOfRange(expected, t * 33, t * 33 + 33), linearAdd(ops, alone), set + ", token " + t);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void routesAsDefined(InstructionSet set) {
        Random random = new Random(SEED);
        for (int round = 0; round < 60; round++) {
            int experts = 1 + random.nextInt(70);
            int used = 1 + random.nextInt(experts);
            int tokens = 1 + random.nextInt(200);
            float[] scores = values(experts * tokens, random);
            for (int i = 0; i < scores.length; i++) {
                switch (round % 5) {
                    case 1 -> scores[i] = Math.round(scores[i]); // many equal ones
                    case 2 -> scores[i] *= 60; // a softmax of ones and zeros
                    case 3 -> scores[i] = i % experts == 0 ? 50 : scores[i]; // an expert that all tokens take, others that none takes
                    case 4 -> scores[i] = random.nextInt(9) == 0 ? special(random) : scores[i];
                    default -> { }
                }
            }
            Case c = new Case(experts, used, random.nextBoolean(), tokens, scores, List.of(), scores, scores);
            String what = set + ", round " + round + ", seed " + SEED;
            try (Ops java = Instances.java();
                    Ops cpu = Instances.cpu(set, 2);
                    Routing expected = routed(java, c);
                    Routing actual = routed(cpu, c)) {
                assertEquals(tokens * used, actual.pairs(), what);
                for (int e = 0; e <= experts; e++) {
                    assertEquals(expected.first(e), actual.first(e), what + ", expert " + e);
                }
                for (int p = 0; p < actual.pairs(); p++) {
                    assertEquals(expected.token(p), actual.token(p), what + ", pair " + p);
                    assertEquals(expected.weight(p), actual.weight(p), 2e-6f, what + ", weight of pair " + p);
                }
            }
        }
    }

    private static float special(Random random) {
        return switch (random.nextInt(4)) {
            case 0 -> Float.NaN;
            case 1 -> Float.POSITIVE_INFINITY;
            case 2 -> Float.NEGATIVE_INFINITY;
            default -> 3e38f;
        };
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void wrongShapesAreRefused(InstructionSet set) {
        Random random = new Random(SEED);
        Case c = Case.of(new int[] {4, 2, 16, 3}, List.of(WeightType.F32), 32, false, true, random);
        try (Ops ops = Instances.cpu(set, 1);
                Routing routing = routed(ops, c);
                Weight w = ops.matrix(c.parts, b -> {});
                Weight one = ops.matrix(c.parts.subList(0, 3), b -> {});
                Activation x = ops.activation(3, 32);
                Activation narrow = ops.activation(3, 31);
                Activation y = ops.activation(6, 32);
                Activation few = ops.activation(5, 32);
                Activation scores = ops.activation(9, 4)) {
            ops.expertLinear(x, routing, w, y);
            refused("w.columns", () -> ops.expertLinear(narrow, routing, w, y));
            refused("rows of y", () -> ops.expertLinear(x, routing, w, few));
            refused("input as output", () -> ops.expertLinear(y, routing, w, y));
            refused("three parts for four experts", () -> ops.expertLinear(x, routing, one, y));
            refused("two parts of an expert", () -> ops.expertLinearAdd(y, routing, w, x));
            refused("more tokens than room", () -> ops.route(scores, 7, routing));
            refused("no token", () -> ops.route(scores, 0, routing));
            refused("scores of other experts", () -> ops.route(x, 3, routing));
            routing.memory().buffer().put(3, 1 << 30);
            refused("damaged count", () -> ops.expertLinear(x, routing, w, y));
            routing.memory().buffer().put(3, 3);
            routing.memory().buffer().put(4 + 5, 3);
            refused("damaged token", () -> ops.expertLinear(x, routing, w, y));
        }
    }

    private static void refused(String what, Runnable operation) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, operation::run, what);
        assertTrue(e.getMessage() != null && !e.getMessage().isBlank(), what);
    }
}
