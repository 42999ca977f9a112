package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The golden checkpoints of the core's tests give their logits on every instruction set, through the API. */
class GoldenLogitsTest {
    private static final List<String> CHECKPOINTS = List.of(
            "dense-gqa7", "dense-tied", "yarn", "yarn-new-keys", "dual-chunk", "dual-chunk-scaled", "moe", "moe-mixed");

    @TempDir
    private Path directory;

    static Stream<Arguments> setsAndCheckpoints() {
        return NativeSets.all().flatMap(set -> CHECKPOINTS.stream().map(name -> Arguments.of(set, name)));
    }

    @ParameterizedTest
    @MethodSource("setsAndCheckpoints")
    void logitsAreGolden(InstructionSet set, String name) throws Exception {
        GoldenCheckpoint golden = GoldenCheckpoint.unpack(name, directory);
        int[] ids = golden.ints("input_ids");
        float[] expected = golden.floats("logits");
        for (int slice : new int[] {512, 5}) {
            LoadOptions options = NativeSets.options(set).threads(2).kvCache(KvCacheType.F32).activations(ActivationPrecision.INT16)
                    .prefillSlice(slice).build();
            float[] found = new float[expected.length];
            try (QwenModel model = QwenModel.load(directory, options)) {
                int rows = model.info().vocabularyRows();
                assertEquals(expected.length, ids.length * rows);
                model.logits(ids, (position, row) -> row.get(found, position * rows, rows));
            }
            // A device's tensor cores take many activations as sums of two BF16 numbers: within 2^-17 of their values, up to 4e-5 in logits.
            boolean rounded = NativeSets.DEVICE == Device.CUDA && slice > 8;
            double bound = (rounded ? 1e-4 : 2e-5) * GoldenCheckpoint.deviation(expected);
            for (int i = 0; i < expected.length; i++) {
                int at = i;
                assertTrue(Math.abs(expected[i] - found[i]) <= bound,
                        () -> set + ", " + name + ": logit " + at + " is " + found[at] + ", expected " + expected[at] + " within " + bound);
            }
        }
    }
}
