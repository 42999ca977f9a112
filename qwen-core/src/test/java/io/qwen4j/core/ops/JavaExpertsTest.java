package io.qwen4j.core.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.WeightType;
import io.qwen4j.core.testing.BytesTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The definition of routing and of the experts' products, against the formulas written down. */
class JavaExpertsTest {
    private static Activation filled(Ops ops, int rows, int columns, float[] values) {
        Activation out = ops.activation(rows, columns);
        out.buffer().put(0, values);
        return out;
    }

    private static float[] random(Random random, int count) {
        float[] out = new float[count];
        for (int i = 0; i < count; i++) {
            out[i] = (float) random.nextGaussian();
        }
        return out;
    }

    /** Weights of a token's experts: softmax over all, the largest, on request divided by their sum. */
    private static double[] weights(float[] scores, int used, boolean normalized) {
        double all = IntStream.range(0, scores.length).mapToDouble(e -> Math.exp(scores[e])).sum();
        Integer[] order = IntStream.range(0, scores.length).boxed().toArray(Integer[]::new);
        Arrays.sort(order, (a, b) -> Float.compare(scores[b], scores[a])); // stable: of equal ones the first
        double[] weights = new double[scores.length];
        double sum = 0;
        for (int k = 0; k < used; k++) {
            weights[order[k]] = Math.exp(scores[order[k]]) / all;
            sum += weights[order[k]];
        }
        for (int e = 0; normalized && e < weights.length; e++) {
            weights[e] /= sum;
        }
        return weights;
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1, false", "8, 3, 5, false", "8, 3, 5, true", "60, 4, 33, false", "4, 4, 7, true"})
    void everyTokenGoesToItsLargestScores(int experts, int used, int tokens, boolean normalized) {
        Random random = new Random(experts * 31 + tokens);
        float[] scores = random(random, tokens * experts);
        for (int i = 0; i < scores.length; i += 3) {
            scores[i] = Math.round(scores[i]);
        }
        try (Ops ops = new JavaOps(new OpsOptions(1, null));
                Routing routing = new Routing(ops, tokens + 1, experts, used, normalized)) {
            ops.route(filled(ops, tokens, experts, scores), tokens, routing);
            assertEquals(tokens * used, routing.pairs());
            assertEquals(0, routing.first(0));
            assertEquals(routing.pairs(), routing.first(experts));
            Set<List<Integer>> seen = new HashSet<>();
            for (int e = 0; e < experts; e++) {
                int before = -1;
                for (int p = routing.first(e); p < routing.first(e + 1); p++) {
                    int t = routing.token(p);
                    assertTrue(t > before, "tokens of an expert are in order");
                    before = t;
                    double[] expected = weights(Arrays.copyOfRange(scores, t * experts, (t + 1) * experts), used, normalized);
                    assertTrue(expected[e] > 0, "expert " + e + " is one of token " + t);
                    assertEquals(expected[e], routing.weight(p), 1e-6);
                    assertTrue(seen.add(List.of(t, e)));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void scoresThatAreNoNumbersChooseExpertsAllTheSame(float score) {
        try (Ops ops = new JavaOps(new OpsOptions(1, null));
                Routing routing = new Routing(ops, 1, 4, 2, true)) {
            ops.route(filled(ops, 1, 4, new float[] {score, score, score, score}), 1, routing);
            assertEquals(List.of(0, 1, 2, 2, 2), IntStream.rangeClosed(0, 4).mapToObj(routing::first).toList());
        }
    }

    @ParameterizedTest
    @CsvSource({"5, 2, 9, 1", "3, 3, 4, 2", "7, 1, 20, 2"})
    void expertsMultiplyTheirTokens(int experts, int used, int tokens, int partsEach) {
        Random random = new Random(tokens);
        int n = 32;
        int m = 6;
        List<TensorSource> parts = new ArrayList<>();
        float[][] matrices = new float[experts][m * n];
        for (int e = 0; e < experts; e++) {
            for (int i = 0; i < partsEach; i++) {
                BytesTensor part = BytesTensor.of("w", i == 0 ? WeightType.F32 : WeightType.BF16, m / partsEach, n, random(random, m / partsEach * n));
                System.arraycopy(part.values(), 0, matrices[e], i * m / partsEach * n, part.values().length);
                parts.add(part);
            }
        }
        float[] scores = random(random, tokens * experts);
        float[] x = random(random, tokens * n);
        float[] y = random(random, tokens * m);
        try (Ops ops = new JavaOps(new OpsOptions(2, null));
                Routing routing = new Routing(ops, tokens, experts, used, false)) {
            ops.route(filled(ops, tokens, experts, scores), tokens, routing);
            Weight w = ops.matrix(parts, b -> {});
            Activation products = ops.activation(tokens * used, m);
            ops.expertLinear(filled(ops, tokens, n, x), routing, w, products);
            // A pair's own input: its token's row times the number of the pair.
            float[] own = new float[tokens * used * n];
            double[] expected = new double[tokens * m];
            for (int i = 0; i < expected.length; i++) {
                expected[i] = y[i];
            }
            for (int e = 0; e < experts; e++) {
                for (int p = routing.first(e); p < routing.first(e + 1); p++) {
                    int t = routing.token(p);
                    for (int r = 0; r < m; r++) {
                        double product = 0;
                        for (int i = 0; i < n; i++) {
                            product += (double) x[t * n + i] * matrices[e][r * n + i];
                            own[p * n + i] = x[t * n + i] * (p + 1);
                        }
                        assertEquals(product, products.buffer().get(p * m + r), 1e-4);
                        expected[t * m + r] += routing.weight(p) * product * (p + 1);
                    }
                }
            }
            Activation sum = filled(ops, tokens, m, y);
            if (partsEach == 1) {
                ops.expertLinearAdd(filled(ops, tokens * used, n, own), routing, w, sum);
                for (int i = 0; i < expected.length; i++) {
                    assertEquals(expected[i], sum.buffer().get(i), 1e-3);
                }
            }
        }
    }

    @Test
    void theGateIsASigmoidOfItsRow() {
        try (Ops ops = new JavaOps(new OpsOptions(1, null))) {
            Activation x = filled(ops, 3, 2, new float[] {1, -2, 3, 4, 5, 6});
            ops.sigmoidGate(x, 2, filled(ops, 3, 1, new float[] {0, 2, 9}));
            double gate = 1 / (1 + Math.exp(-2));
            float[] expected = {0.5f, -1, (float) (3 * gate), (float) (4 * gate), 5, 6};
            for (int i = 0; i < 6; i++) {
                assertEquals(expected[i], x.buffer().get(i), 1e-6);
            }
        }
    }

    @Test
    void impossibleRoutingsAreRefused() {
        try (Ops ops = new JavaOps(new OpsOptions(1, null))) {
            assertThrows(IllegalArgumentException.class, () -> new Routing(ops, 0, 4, 2, false));
            assertThrows(IllegalArgumentException.class, () -> new Routing(ops, 1, 4, 0, false));
            assertThrows(IllegalArgumentException.class, () -> new Routing(ops, 1, 4, 5, false));
            assertThrows(ArithmeticException.class, () -> new Routing(ops, 1 << 30, 4096, 4096, false));
        }
    }
}
