package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The golden reward models of the core's tests give their rewards on every instruction set, with the same bits beside others. */
class GoldenRewardsTest {
    @TempDir
    private Path directory;

    private static LoadOptions.Builder options(InstructionSet set) {
        return NativeSets.options(set).threads(2).kvCache(KvCacheType.F32);
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.NativeSets#all")
    void rewardsAreGolden(InstructionSet set) throws Exception {
        GoldenCheckpoint golden = GoldenCheckpoint.unpack("reward", directory);
        int[] ids = golden.ints("input_ids");
        float[] expected = golden.floats("reward");
        double deviation = GoldenCheckpoint.deviation(expected);
        for (int slice : new int[] {512, 5}) {
            try (RewardModel model = RewardModel.load(directory, options(set).prefillSlice(slice).build())) {
                double[] alone = new double[ids.length];
                for (int n = 1; n <= ids.length; n++) {
                    alone[n - 1] = model.score(Arrays.copyOf(ids, n));
                    assertEquals(expected[n - 1], alone[n - 1], 2e-5 * deviation, set + ", after " + n + " tokens");
                }
                List<CompletableFuture<Double>> beside = IntStream.rangeClosed(1, ids.length)
                        .mapToObj(n -> CompletableFuture.supplyAsync(() -> model.score(Arrays.copyOf(ids, n))))
                        .toList();
                for (int i = 0; i < alone.length; i++) {
                    assertEquals(alone[i], beside.get(i).join(), set + ", " + (i + 1) + " tokens beside others");
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.NativeSets#all")
    void probabilitiesOfStepsAreGolden(InstructionSet set) throws Exception {
        GoldenCheckpoint golden = GoldenCheckpoint.unpack("process-reward", directory);
        int[] ids = golden.ints("input_ids");
        float[] logits = golden.floats("reward");
        int[] all = IntStream.range(0, ids.length).toArray();
        for (int slice : new int[] {512, 5}) {
            try (RewardModel model = RewardModel.load(directory, options(set).prefillSlice(slice).build())) {
                List<Double> found = model.scoreSteps(ids, all);
                for (int i = 0; i < ids.length; i++) {
                    double wrong = Math.exp(logits[2 * i]);
                    double right = Math.exp(logits[2 * i + 1]);
                    assertEquals(right / (wrong + right), found.get(i), 1e-5, set + ", at token " + i);
                }
                assertEquals(List.of(found.get(3), found.get(20)), model.scoreSteps(ids, new int[] {3, 20}), "fewer rows, same bits");
            }
        }
    }

    /** Weights in 8 bits: the head stays in BF16, activations meet the rest in 8 bits. */
    @ParameterizedTest
    @MethodSource("io.qwen4j.NativeSets#all")
    void convertedWeightsGiveNearlyTheSame(InstructionSet set) throws Exception {
        GoldenCheckpoint golden = GoldenCheckpoint.unpack("reward", directory);
        int[] ids = golden.ints("input_ids");
        float[] expected = golden.floats("reward");
        double squares = 0;
        try (RewardModel model = RewardModel.load(directory, options(set).quantization(WeightType.Q8_0).build())) {
            for (int n = 1; n <= ids.length; n++) {
                double error = expected[n - 1] - model.score(Arrays.copyOf(ids, n));
                squares += error * error / ids.length;
            }
        }
        double error = Math.sqrt(squares) / GoldenCheckpoint.deviation(expected);
        // Measured: 0.029.
        assertTrue(error < 0.06, set + ": " + error);
    }
}
