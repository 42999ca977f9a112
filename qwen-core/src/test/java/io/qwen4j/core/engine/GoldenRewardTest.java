package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.Device;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.RewardModel;
import io.qwen4j.core.testing.GoldenFiles;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Reward heads on the golden checkpoints, on the Java backend, without a tokenizer. */
@Timeout(120)
class GoldenRewardTest {
    @TempDir
    Path directory;

    private static LoadOptions.Builder options() {
        return LoadOptions.builder().device(Device.JAVA).threads(2).kvCache(KvCacheType.F32);
    }

    private static double deviation(float[] values) {
        double mean = 0;
        double squares = 0;
        for (float v : values) {
            mean += v / values.length;
            squares += (double) v * v / values.length;
        }
        return Math.sqrt(squares - mean * mean);
    }

    /** The golden probabilities that the step that ends at a token is right. */
    private static double[] probabilities(float[] logits) {
        double[] out = new double[logits.length / 2];
        for (int i = 0; i < out.length; i++) {
            double wrong = Math.exp(logits[2 * i]);
            double right = Math.exp(logits[2 * i + 1]);
            out[i] = right / (wrong + right);
        }
        return out;
    }

    @ParameterizedTest
    @ValueSource(ints = {512, 7, 1})
    void rewardsAreGolden(int slice) {
        Path path = GoldenFiles.unpack("reward", directory);
        int[] ids = GoldenFiles.ints(path.resolve("golden.safetensors"), "input_ids");
        float[] expected = GoldenFiles.floats(path.resolve("golden.safetensors"), "reward");
        try (RewardModel model = RewardModel.load(path, options().prefillSlice(slice).build())) {
            assertEquals(RewardModel.Kind.OUTCOME, model.kind());
            for (int n = 1; n <= ids.length; n++) {
                // Measured: 5e-7.
                assertEquals(expected[n - 1], model.score(Arrays.copyOf(ids, n)), 1e-5 * deviation(expected), "after " + n + " tokens");
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {512, 7, 1})
    void probabilitiesOfStepsAreGolden(int slice) {
        Path path = GoldenFiles.unpack("process-reward", directory);
        int[] ids = GoldenFiles.ints(path.resolve("golden.safetensors"), "input_ids");
        double[] expected = probabilities(GoldenFiles.floats(path.resolve("golden.safetensors"), "reward"));
        try (RewardModel model = RewardModel.load(path, options().prefillSlice(slice).build())) {
            assertEquals(RewardModel.Kind.PROCESS, model.kind());
            List<Double> all = model.scoreSteps(ids, IntStream.range(0, ids.length).toArray());
            for (int i = 0; i < ids.length; i++) {
                assertEquals(expected[i], all.get(i), 1e-6, "at token " + i);
            }
            assertEquals(List.of(all.get(2), all.get(11)), model.scoreSteps(ids, new int[] {2, 11}));
        }
    }
}
