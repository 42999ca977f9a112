package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.random;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertClose;
import static io.qwen4j.natives.Tolerance.assertSameBits;

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

@Tag("kernels")
@NeedsNative
class LinearTest {
    private static final long SEED = 7;
    /** Rows of w around the panel of 16, tokens around the tiles. */
    private static final int[][] ROWS_AND_TOKENS = {{1, 1}, {15, 2}, {16, 3}, {17, 8}, {33, 5}, {100, 9}, {48, 70}, {64, 17}, {31, 4}};

    static Stream<Arguments> setsAndTypes() {
        return Instances.instructionSets().flatMap(set -> Arrays.stream(WeightType.values()).map(type -> Arguments.of(set, type)));
    }

    /**
     * Largest error of an output, relative to the deviation of a sum. Integer kernels round activations to 8 bits, half a percent of the deviation
     * (the root mean square is held to 1e-2); six deviations of that occur among the tens of thousands of outputs here. Eight bits more leave a
     * hundredth of it. A device multiplies many tokens with weights of 16 bits in BF16, which is a tenth of a percent; that of one product of
     * large numbers is the bound here.
     */
    private static double bound(WeightType type, int tokens, ActivationPrecision precision) {
        if (!type.isQuantized()) {
            boolean rounded = Instances.CUDA && tokens > 8 && type != WeightType.F32;
            return rounded && precision == ActivationPrecision.INT8 ? 2.4e-2 : 2e-5;
        }
        return precision == ActivationPrecision.INT8 ? 4e-2 : 4e-4;
    }

    private static int[] columns(WeightType type) {
        return switch (type.blockSize()) {
            case 1 -> new int[] {1, 7, 16, 100, 257};
            case 32 -> new int[] {32, 96, 160, 896};
            default -> new int[] {256, 768};
        };
    }

    static Stream<Arguments> setsTypesAndPrecisions() {
        return setsAndTypes().flatMap(a -> Arrays.stream(ActivationPrecision.values()).map(p -> Arguments.of(a.get()[0], a.get()[1], p)));
    }

    @ParameterizedTest
    @MethodSource("setsTypesAndPrecisions")
    void agreesWithTheDefinition(InstructionSet set, WeightType type, ActivationPrecision precision) {
        Random random = new Random(SEED);
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 2, precision)) {
            for (int columns : columns(type)) {
                for (int[] shape : ROWS_AND_TOKENS) {
                    TensorSource w = random(type, shape[0], columns, random);
                    TensorSource bias = random(WeightType.F32, 1, shape[0], random);
                    float[] x = values(shape[1] * columns, random);
                    float[] y = values(shape[1] * shape[0], random);
                    String what = set + " " + type + " " + precision + " " + shape[0] + " x " + columns + ", " + shape[1] + " tokens, seed " + SEED;
                    // The bound is relative to the size of a sum of this many products, also where there is a single output.
                    double scale = Math.sqrt(columns);
                    for (int mode = 0; mode < 3; mode++) {
                        float[] expected = linear(java, List.of(w), bias, x, shape[1], y, mode);
                        float[] actual = linear(cpu, List.of(w), bias, x, shape[1], y, mode);
                        assertWithin(expected, actual, bound(type, shape[1], precision) * scale, what + ", mode " + mode);
                    }
                }
            }
        }
    }

    private static void assertWithin(float[] expected, float[] actual, double bound, String what) {
        double squares = 0;
        for (int i = 0; i < expected.length; i++) {
            squares += (double) (expected[i] - actual[i]) * (expected[i] - actual[i]);
        }
        double error = Math.sqrt(squares / expected.length);
        org.junit.jupiter.api.Assertions.assertTrue(
                expected.length < 50 || error <= bound / 4, what + ": root mean square error " + error + " above " + bound / 4);
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(expected[i] - actual[i]) <= bound)) {
                org.junit.jupiter.api.Assertions.fail(
                        what + ": element " + i + " is " + actual[i] + ", expected " + expected[i] + " within " + bound);
            }
        }
    }

    /** mode 0: no bias, 1: bias, 2: added to what is there. */
    private static float[] linear(Ops ops, List<? extends TensorSource> parts, TensorSource bias, float[] x, int tokens, float[] y, int mode) {
        int columns = (int) parts.get(0).columns();
        // One row more than used, to see that it is left alone.
        try (Weight w = ops.matrix(List.copyOf(parts), b -> {});
                Weight b = ops.vector(List.of(bias));
                Activation in = activation(ops, tokens, columns, x);
                Activation out = ops.activation(tokens + 1, w.rows())) {
            out.buffer().put(0, y);
            for (int i = 0; i < w.rows(); i++) {
                out.buffer().put(tokens * w.rows() + i, 12345f);
            }
            if (mode == 2) {
                ops.linearAdd(in, tokens, w, out);
            } else {
                ops.linear(in, tokens, w, mode == 1 ? b : null, out);
            }
            float[] result = read(out);
            for (int i = tokens * w.rows(); i < result.length; i++) {
                org.junit.jupiter.api.Assertions.assertEquals(12345f, result[i], "a row beyond those of the operation was written");
            }
            return Arrays.copyOf(result, tokens * w.rows());
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void aTokenHasTheSameBitsAloneInABatchAndOnAnyNumberOfThreads(InstructionSet set, WeightType type) {
        Random random = new Random(SEED);
        int columns = type.blockSize() == 1 ? 200 : 512;
        int rows = 150;
        TensorSource w = random(type, rows, columns, random);
        TensorSource bias = random(WeightType.F32, 1, rows, random);
        for (int tokens : new int[] {8, 71}) {
            int fewest = Instances.fewestTokens(tokens);
            float[] x = values(tokens * columns, random);
            float[] y = new float[tokens * rows];
            float[] expected;
            try (Ops one = Instances.cpu(set, 1)) {
                expected = linear(one, List.of(w), bias, x, tokens, y, 1);
                // Every size of a tile, and what is left beside it.
                for (int count = fewest; count <= Math.min(tokens, 14); count++) {
                    float[] first = linear(one, List.of(w), bias, Arrays.copyOf(x, count * columns), count, new float[count * rows], 1);
                    assertSameBits(Arrays.copyOf(expected, count * rows), first, set + " " + type + ", " + count + " of " + tokens + " tokens");
                }
            }
            for (int threads : Instances.threads(2, 3, 7)) {
                try (Ops many = Instances.cpu(set, threads)) {
                    assertSameBits(expected, linear(many, List.of(w), bias, x, tokens, y, 1), set + " " + type + ", " + threads + " threads");
                    for (int t : new int[] {0, 1, tokens / 2, tokens - fewest}) {
                        float[] some = linear(many, List.of(w), bias, Arrays.copyOfRange(x, t * columns, (t + fewest) * columns), fewest,
                                new float[fewest * rows], 1);
                        assertSameBits(Arrays.copyOfRange(expected, t * rows, (t + fewest) * rows), some,
                                set + " " + type + ", token " + t + " of " + tokens + " alone");
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void partsOfDifferentTypesFollowEachOther(InstructionSet set) {
        Random random = new Random(SEED);
        List<TensorSource> parts = new ArrayList<>();
        int rows = 0;
        for (WeightType type : WeightType.values()) {
            int count = 5 + 9 * (parts.size() % 4);
            parts.add(random(type, count, 256, random));
            rows += count;
        }
        TensorSource bias = random(WeightType.BF16, 1, rows, random);
        float[] x = values(13 * 256, random);
        float[] y = values(13 * rows, random);
        try (Ops java = Instances.java();
                Ops cpu = Instances.cpu(set, 3)) {
            for (int mode = 0; mode < 3; mode++) {
                float[] expected = linear(java, parts, bias, x, 13, y, mode);
                assertClose(expected, linear(cpu, parts, bias, x, 13, y, mode), 6e-2, set + ", mode " + mode + ", seed " + SEED);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void extremeHalfPrecisionWeightsAreReadExactly(InstructionSet set) {
        // Every 16-bit pattern that is a number, each times 1: subnormals, largest values, both zeros.
        for (WeightType type : new WeightType[] {WeightType.F16, WeightType.BF16}) {
            byte[] blocks = new byte[1 << 17];
            for (int i = 0; i < 1 << 16; i++) {
                blocks[2 * i] = (byte) i;
                blocks[2 * i + 1] = (byte) (i >> 8);
            }
            TensorSource w = new Tensors.Source("patterns", type, 1 << 16, 1, blocks);
            TensorSource bias = new Tensors.Source("bias", WeightType.F32, 1, 1 << 16, new byte[1 << 18]);
            try (Ops java = Instances.java();
                    Ops cpu = Instances.cpu(set, 2)) {
                float[] y = new float[1 << 16];
                assertSameNumbers(
                        linear(java, List.of(w), bias, new float[] {1}, 1, y, 0), linear(cpu, List.of(w), bias, new float[] {1}, 1, y, 0),
                        set + " " + type);
            }
        }
    }

    private static void assertSameNumbers(float[] expected, float[] actual, String what) {
        for (int i = 0; i < expected.length; i++) {
            org.junit.jupiter.api.Assertions.assertEquals(expected[i], actual[i] + 0f, 0f, what + ", pattern " + Integer.toHexString(i));
        }
    }
}
