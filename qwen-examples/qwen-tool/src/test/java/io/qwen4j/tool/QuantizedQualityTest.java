package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.InstructionSet;
import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFiles;
import io.qwen4j.ProgressListener;
import io.qwen4j.QwenModel;
import io.qwen4j.WeightType;
import io.qwen4j.tinyqwen.TinyQwen;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.jspecify.annotations.Nullable;

/**
 * What 8-bit activations cost: the bundled model in each quantized type, computed as it is by default, beside the same weights expanded to
 * F32, where activations are not rounded.
 */
@Tag("kernels")
class QuantizedQualityTest {
    private static final Questions QUESTIONS = Questions.read();
    private static final List<String> TEXTS = QualityTexts.of(QUESTIONS);

    @TempDir
    private Path directory;

    static Stream<WeightType> quantizedTypes() {
        return Stream.of(WeightType.values()).filter(t -> t.isQuantized() && t.isGguf());
    }

    private static QwenModel load(Path file, @Nullable InstructionSet set) {
        return QwenModel.load(
                file, LoadOptions.builder().device(Device.CPU).instructionSet(set).cacheTokens(4096).maxConcurrent(24).build());
    }

    private static Map<String, Integer> right(QwenModel model) {
        Map<String, Integer> right = new LinkedHashMap<>();
        QUESTIONS.families().forEach((name, family) -> right.put(name, Questions.right(model, family.cases())));
        return right;
    }

    @ParameterizedTest
    @MethodSource("quantizedTypes")
    void roundedActivationsCostLittle(WeightType type) {
        Path quantized = directory.resolve("quantized.gguf");
        Path expanded = directory.resolve("expanded.gguf");
        ModelFiles.quantize(TinyQwen.directory(), type, quantized, ProgressListener.none());
        ModelFiles.quantize(quantized, WeightType.F32, expanded, ProgressListener.none());
        double exact;
        Map<String, Integer> expected;
        try (QwenModel model = load(expanded, null)) {
            exact = QualityTexts.perplexity(model, TEXTS);
            expected = right(model);
        } catch (BackendUnavailableException e) {
            abort("the native backend is what this tests: " + e.getMessage());
            return;
        }
        try (QwenModel model = load(quantized, null)) {
            Map<String, Integer> found = right(model);
            System.out.println(type + ": " + found + " right, " + expected + " with F32");
            found.forEach((name, count) -> {
                double points = 100.0 * (count - expected.get(name)) / QUESTIONS.families().get(name).cases().size();
                assertEquals(0, points, 2, type + ", points of " + name);
            });
        }
        for (InstructionSet set : InstructionSet.values()) {
            try (QwenModel model = load(quantized, set)) {
                double change = 100 * (QualityTexts.perplexity(model, TEXTS) / exact - 1);
                String line = String.format(Locale.ROOT, "%s on %s: perplexity %.4f with F32, %+.3f %%", type, set, exact, change);
                System.out.println(line);
                assertTrue(Math.abs(change) <= 1, line);
            } catch (BackendUnavailableException e) {
                System.out.println(type + " is not measured on " + set + ": " + e.getMessage());
            }
        }
    }
}
