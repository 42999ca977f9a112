package io.qwen4j.core.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every bound that a caller sets is kept, in both formats. */
class LimitsTest {
    @TempDir
    Path temp;

    static List<Arguments> limits() {
        return List.of(
                Arguments.of(new ModelLimits(200, 1000, 100, 100, 1000, 100), Reason.LIMIT),
                Arguments.of(new ModelLimits(10_000, 1000, 20, 100, 1000, 100), Reason.LIMIT),
                Arguments.of(new ModelLimits(10_000, 1000, 100, 1, 1000, 100), Reason.CONFIG));
    }

    @ParameterizedTest
    @MethodSource("limits")
    void keepsLimits(ModelLimits limits, Reason reason) {
        var config = TinyCheckpoints.config(true);
        Path directory = TinyCheckpoints.directory(temp.resolve("m"), config, WeightType.F32, 1);
        Path file = TinyCheckpoints.gguf(temp.resolve("m.gguf"), config, WeightType.F32, 1);
        for (Path model : List.of(directory, file)) {
            var e = assertThrows(ModelFileException.class, () -> CheckpointReader.open(model, limits));
            assertEquals(reason, e.reason(), e.getMessage());
        }
        var enough = new ModelLimits(10_000, 1000, 100, 2, 96, 100);
        CheckpointReader.open(directory, enough).close();
        CheckpointReader.open(file, enough).close();
    }
}
