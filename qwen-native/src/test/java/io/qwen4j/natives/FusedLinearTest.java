package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.order;
import static io.qwen4j.natives.Tensors.random;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertClose;
import static io.qwen4j.natives.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
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

/** What a backend may compute in one: the same bits as the operations one by one, close to the definition. */
@Tag("kernels")
@NeedsNative
class FusedLinearTest {
    private static final long SEED = 31;
    private static final float EPSILON = 1e-6f;
    private static final int[] TOKENS = {1, 2, 3, 4, 5, 8, 9, 20};

    static Stream<Arguments> setsTypesAndPrecisions() {
        return Instances.instructionSets().flatMap(set -> Arrays.stream(WeightType.values()).flatMap(
                type -> Arrays.stream(ActivationPrecision.values()).map(p -> Arguments.of(set, type, p))));
    }

    static Stream<Arguments> setsAndPrecisions() {
        return Instances.instructionSets().flatMap(set -> Stream.of(ActivationPrecision.values()).map(p -> Arguments.of(set, p)));
    }

    @FunctionalInterface
    private interface Computation {
        float[] of(Ops ops, boolean fused);
    }

    private static float[] normLinear(
            Ops ops, boolean fused, List<TensorSource> parts, TensorSource gain, TensorSource bias, float[] x, int tokens) {
        int columns = (int) parts.get(0).columns();
        try (Weight w = ops.matrix(parts, n -> {});
                Weight g = ops.vector(List.of(gain));
                Weight b = ops.vector(List.of(bias));
                Activation in = activation(ops, tokens + 1, columns, x);
                Activation normed = ops.activation(tokens + 1, columns);
                Activation y = ops.activation(tokens + 1, w.rows())) {
            fill(y);
            if (fused) {
                ops.normLinear(in, tokens, g, EPSILON, normed, w, b, y);
            } else {
                ops.rmsNorm(in, tokens, g, EPSILON, normed);
                ops.linear(normed, tokens, w, b, y);
            }
            assertSameBits(x, read(in), "the input of a norm");
            return read(y);
        }
    }

    private static float[] swiGluLinearAdd(Ops ops, boolean fused, List<TensorSource> parts, float[] x, int tokens) {
        int columns = (int) parts.get(0).columns();
        try (Weight w = ops.matrix(parts, n -> {});
                Activation in = activation(ops, tokens + 1, 2 * columns, x);
                Activation gated = ops.activation(tokens + 1, columns);
                Activation y = ops.activation(tokens + 1, w.rows())) {
            fill(y);
            if (fused) {
                ops.swiGluLinearAdd(in, tokens, gated, w, y);
            } else {
                ops.swiGlu(in, tokens, gated);
                ops.linearAdd(gated, tokens, w, y);
            }
            assertSameBits(x, read(in), "the input of a gated unit");
            return read(y);
        }
    }

    private static void fill(Activation y) {
        for (int i = 0; i < y.rows() * y.columns(); i++) {
            y.buffer().put(i, i % 7 - 3);
        }
    }

    private static void check(InstructionSet set, ActivationPrecision precision, double bound, String what, Computation computation) {
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 2, precision)) {
            float[] definition = computation.of(java, true);
            assertSameBits(computation.of(java, false), definition, what + " of the definition");
            float[] one = computation.of(cpu, true);
            assertSameBits(computation.of(cpu, false), one, set + " " + precision + " " + what);
            assertClose(definition, one, bound, set + " " + precision + " " + what);
        }
    }

    @ParameterizedTest
    @MethodSource("setsTypesAndPrecisions")
    void anyType(InstructionSet set, WeightType type, ActivationPrecision precision) {
        Random random = new Random(SEED);
        int columns = type.blockSize() == 1 ? 100 : type.blockSize() == 32 ? 160 : 256;
        List<TensorSource> parts = List.of(random(type, 45, columns, random));
        TensorSource gain = random(WeightType.BF16, 1, columns, random);
        TensorSource bias = random(WeightType.F32, 1, 45, random);
        for (int tokens : TOKENS) {
            float[] x = values((tokens + 1) * columns, random);
            float[] wide = values((tokens + 1) * 2 * columns, random);
            String what = type + ", " + tokens + " tokens, seed " + SEED;
            check(set, precision, 6e-2, "norm and " + what, (ops, fused) -> normLinear(ops, fused, parts, gain, bias, x, tokens));
            check(set, precision, 6e-2, "gated unit and " + what, (ops, fused) -> swiGluLinearAdd(ops, fused, parts, wide, tokens));
        }
    }

    /** Parts of several types, and of quantized ones alone, whose columns have orders of their own. */
    @ParameterizedTest
    @MethodSource("setsAndPrecisions")
    void partsAndOrders(InstructionSet set, ActivationPrecision precision) {
        Random random = new Random(SEED);
        int columns = 384;
        int[] a = order(columns, random);
        int[] b = order(columns, random);
        List<TensorSource> integers = List.of(
                new Tensors.Ordered(random(WeightType.INT4_G128, 20, columns, random), a),
                new Tensors.Ordered(random(WeightType.INT8_G32, 17, columns, random), b),
                random(WeightType.Q8_0, 9, columns, random),
                new Tensors.Ordered(random(WeightType.INT4_G32, 8, columns, random), a));
        List<TensorSource> mixed = new ArrayList<>(integers);
        mixed.add(1, random(WeightType.BF16, 11, columns, random));
        TensorSource gain = random(WeightType.F32, 1, columns, random);
        for (List<TensorSource> parts : List.of(integers, mixed)) {
            TensorSource bias = random(WeightType.F32, 1, parts == mixed ? 65 : 54, random);
            for (int tokens : TOKENS) {
                float[] x = values((tokens + 1) * columns, random);
                float[] wide = values((tokens + 1) * 2 * columns, random);
                String what = parts.size() + " parts, " + tokens + " tokens, seed " + SEED;
                check(set, precision, 6e-2, "norm and " + what, (ops, fused) -> normLinear(ops, fused, parts, gain, bias, x, tokens));
                check(set, precision, 6e-2, "gated unit and " + what, (ops, fused) -> swiGluLinearAdd(ops, fused, parts, wide, tokens));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void refusesWrongShapes(InstructionSet set) {
        Random random = new Random(SEED);
        try (Ops ops = Instances.cpu(set, 1);
                Weight w = ops.matrix(List.of(random(WeightType.Q8_0, 10, 64, random)), n -> {});
                Weight gain = ops.vector(List.of(random(WeightType.F32, 1, 64, random)));
                Weight shortGain = ops.vector(List.of(random(WeightType.F32, 1, 32, random)));
                Activation x = ops.activation(2, 64);
                Activation narrow = ops.activation(2, 32);
                Activation normed = ops.activation(2, 64);
                Activation wide = ops.activation(2, 128);
                Activation y = ops.activation(2, 10)) {
            List<Runnable> wrong = List.of(
                    () -> ops.normLinear(x, 3, gain, EPSILON, normed, w, null, y),
                    () -> ops.normLinear(narrow, 2, gain, EPSILON, normed, w, null, y),
                    () -> ops.normLinear(x, 2, shortGain, EPSILON, normed, w, null, y),
                    () -> ops.normLinear(x, 2, gain, EPSILON, narrow, w, null, y),
                    () -> ops.normLinear(x, 2, gain, EPSILON, normed, w, null, narrow),
                    () -> ops.swiGluLinearAdd(wide, 3, normed, w, y),
                    () -> ops.swiGluLinearAdd(x, 2, normed, w, y),
                    () -> ops.swiGluLinearAdd(wide, 2, narrow, w, y),
                    () -> ops.swiGluLinearAdd(wide, 2, normed, w, narrow));
            for (Runnable call : wrong) {
                assertThrows(IllegalArgumentException.class, call::run);
            }
        }
    }
}
