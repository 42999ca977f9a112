package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.random;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertClose;
import static io.qwen4j.natives.Tolerance.assertSameBits;

import io.qwen4j.InstructionSet;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@NeedsNative
class RowOperationsTest {
    private static final long SEED = 11;
    private static final int[][] SHAPES = {{1, 1}, {1, 15}, {2, 16}, {3, 17}, {5, 64}, {9, 100}, {70, 896}, {2, 9000}};

    private static void compare(InstructionSet set, double bound, String what, Function<Ops, float[]> operation) {
        try (Ops java = Instances.java()) {
            float[] expected = operation.apply(java);
            float[] first = null;
            for (int threads : Instances.threads(1, 2, 5)) {
                try (Ops cpu = Instances.cpu(set, threads)) {
                    float[] actual = operation.apply(cpu);
                    assertClose(expected, actual, bound, set + " " + what + ", " + threads + " threads, seed " + SEED);
                    if (first == null) {
                        first = actual;
                    }
                    assertSameBits(first, actual, set + " " + what + " on " + threads + " threads");
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void rmsNorm(InstructionSet set) {
        Random random = new Random(SEED);
        for (int[] shape : SHAPES) {
            int rows = shape[0];
            int columns = shape[1];
            TensorSource gain = random(WeightType.BF16, 1, columns, random);
            for (float size : new float[] {1e-4f, 1, 3e3f}) {
                float[] x = values(rows * columns, random);
                for (int i = 0; i < x.length; i++) {
                    x[i] *= size;
                }
                for (boolean inPlace : new boolean[] {false, true}) {
                    compare(set, 1e-5, "norm of " + rows + " x " + columns + " of " + size, ops -> {
                        try (Weight g = ops.vector(List.of(gain));
                                Activation in = activation(ops, rows, columns, x);
                                Activation out = ops.activation(rows, columns)) {
                            ops.rmsNorm(in, rows, g, 1e-6f, inPlace ? in : out);
                            return read(inPlace ? in : out);
                        }
                    });
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void swiGlu(InstructionSet set) {
        Random random = new Random(SEED);
        for (int[] shape : SHAPES) {
            float[] x = values(shape[0] * 2 * shape[1], random);
            for (int i = 0; i < x.length; i += 3) {
                x[i] *= 20;
            }
            compare(set, 5e-6, "gated unit of " + shape[0] + " x " + shape[1], ops -> gated(ops, shape[0], shape[1], x));
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void sigmoidGate(InstructionSet set) {
        Random random = new Random(SEED);
        for (int[] shape : SHAPES) {
            float[] x = values(shape[0] * shape[1], random);
            float[] gates = values(shape[0], random);
            for (int i = 0; i < gates.length; i++) {
                gates[i] *= i % 4 == 3 ? 100 : 3;
            }
            compare(set, 2e-6, "sigmoid of " + shape[0] + " x " + shape[1], ops -> {
                try (Activation y = activation(ops, shape[0], shape[1], x);
                        Activation gate = activation(ops, shape[0], 1, gates)) {
                    ops.sigmoidGate(y, shape[0], gate);
                    return read(y);
                }
            });
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void theExponentialIsRightEverywhere(InstructionSet set) {
        // gate / (1 + e^-gate) with up = 1, element by element relative to itself.
        int count = 40_000;
        float[] x = new float[2 * count];
        for (int i = 0; i < count; i++) {
            x[i] = -84 + i * (168f / count);
            x[count + i] = 1;
        }
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 2)) {
            float[] expected = gated(java, 1, count, x);
            float[] actual = gated(cpu, 1, count, x);
            for (int i = 0; i < count; i++) {
                org.junit.jupiter.api.Assertions.assertEquals(expected[i], actual[i], 4e-7 * Math.abs(expected[i]), set + " at " + x[i]);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void specialValuesComeThrough(InstructionSet set) {
        float[] gates = {0, -0f, 100, -100, 1e30f, -1e30f, Float.POSITIVE_INFINITY, Float.NaN, 88.5f, -88.5f, 1e-30f};
        float[] x = new float[2 * gates.length];
        for (int i = 0; i < gates.length; i++) {
            x[i] = gates[i];
            x[gates.length + i] = 1;
        }
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 1)) {
            float[] expected = gated(java, 1, gates.length, x);
            float[] actual = gated(cpu, 1, gates.length, x);
            for (int i = 0; i < gates.length; i++) {
                float allowed = Float.isFinite(expected[i]) ? Math.abs(expected[i]) * 1e-6f + 1e-34f : 0;
                org.junit.jupiter.api.Assertions.assertEquals(expected[i], actual[i], allowed, set + " at " + gates[i]);
            }
        }
    }

    private static float[] gated(Ops ops, int rows, int columns, float[] x) {
        try (Activation in = activation(ops, rows, 2 * columns, x);
                Activation out = ops.activation(rows, columns)) {
            ops.swiGlu(in, rows, out);
            return read(out);
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void embedReadsEveryRowAsItsCodecDoes(InstructionSet set) {
        Random random = new Random(SEED);
        for (WeightType type : WeightType.values()) {
            int columns = type.blockSize() == 1 ? 77 : 512;
            // Two parts, so that the second begins within a panel of the whole.
            List<TensorSource> parts = List.of(random(type, 21, columns, random), random(type, 37, columns, random));
            // Scales kept as f16 or f32 may differ in the last bits of a product.
            compare(set, type.isQuantized() ? 1e-6 : 0, "embedding of " + type, ops -> {
                try (Weight table = ops.matrix(parts, b -> {});
                        Batch batch = new Batch(ops, 64, 1, 8, 16);
                        Activation x = ops.activation(64, columns)) {
                    batch.beginSequence(0, new int[] {0, 1, 2, 3}, 4);
                    for (int t = 0; t < 58; t++) {
                        batch.addToken(57 - t, t % 5 == 0);
                    }
                    ops.embed(table, batch, x);
                    return read(x);
                }
            });
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void relu(InstructionSet set) {
        Random random = new Random(SEED);
        for (int[] shape : SHAPES) {
            float[] x = values(shape[0] * shape[1], random);
            for (int rows = shape[0] - 1; rows <= shape[0]; rows++) {
                // With one row fewer than there are the last one stays.
                int changed = rows;
                compare(set, 0, "relu of " + rows + " of " + shape[0] + " x " + shape[1], ops -> rectified(ops, changed, shape[1], x));
            }
        }
        float[] special = {0, -0f, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.MIN_VALUE, -Float.MIN_VALUE, 1, -1};
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 1)) {
            float[] expected = rectified(java, 1, special.length, special);
            assertSameBits(expected, rectified(cpu, 1, special.length, special), set + " special values");
        }
    }

    private static float[] rectified(Ops ops, int rows, int columns, float[] x) {
        try (Activation in = activation(ops, x.length / columns, columns, x)) {
            ops.relu(in, rows);
            return read(in);
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void gatherOutputs(InstructionSet set) {
        Random random = new Random(SEED);
        float[] x = values(20 * 33, random);
        compare(set, 0, "gather", ops -> {
            try (Activation in = activation(ops, 20, 33, x);
                    Activation out = ops.activation(8, 33);
                    Batch batch = new Batch(ops, 20, 1, 2, 16)) {
                batch.beginSequence(0, new int[] {0, 1}, 2);
                for (int t = 0; t < 20; t++) {
                    batch.addToken(0, t % 3 == 1);
                }
                ops.gatherOutputs(in, batch, out);
                return read(out);
            }
        });
    }
}
