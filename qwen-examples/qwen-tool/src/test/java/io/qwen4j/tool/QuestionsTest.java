package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.InstructionSet;
import io.qwen4j.LoadOptions;
import io.qwen4j.QwenModel;
import io.qwen4j.WeightType;
import io.qwen4j.tinyqwen.TinyQwen;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Asks the bundled model the questions on which its rates were measured with another program. */
class QuestionsTest {
    private static final Questions QUESTIONS = Questions.read();

    private static LoadOptions.Builder options(@Nullable WeightType type) {
        return LoadOptions.builder().quantization(type).cacheTokens(4096);
    }

    /** The model on an instruction set, or null where this machine or this build has no such kernels, which is printed. */
    private static @Nullable QwenModel load(InstructionSet set, @Nullable WeightType type) {
        try {
            return QwenModel.load(TinyQwen.directory(), options(type).device(Device.CPU).instructionSet(set).build());
        } catch (BackendUnavailableException e) {
            System.out.println("Not asked on " + set + ": " + e.getMessage());
            return null;
        }
    }

    /** Asks part of the questions of each family and compares the rate with the measured one. */
    private static void compare(String label, QwenModel model, Map<String, Questions.Family> families, int part) {
        double farthest = 0;
        StringBuilder table = new StringBuilder(label);
        for (Map.Entry<String, Questions.Family> entry : families.entrySet()) {
            List<Questions.Case> cases = entry.getValue().cases().subList(0, entry.getValue().cases().size() / part);
            int count = Questions.right(model, cases);
            double expected = entry.getValue().measured() * cases.size();
            table.append(String.format(Locale.ROOT, "; %s %d of %d, expected %.0f", entry.getKey(), count, cases.size(), expected));
            farthest = Math.max(farthest, 100 * Math.abs(count - expected) / cases.size());
        }
        System.out.println(table);
        assertTrue(farthest <= 2, farthest + " points from a measured rate: " + table);
    }

    @ParameterizedTest
    @CsvSource({"BASELINE,", "BASELINE,Q8_0", "AVX2,", "AVX2,Q8_0", "AVX512,", "AVX512,Q8_0", "VNNI,", "VNNI,Q8_0"})
    void nativeRatesAreWithinTwoPoints(InstructionSet set, @Nullable WeightType type) {
        try (QwenModel model = load(set, type)) {
            if (model != null) {
                compare(set + " " + (type == null ? "BF16" : type), model, QUESTIONS.families(), 1);
            }
        }
    }

    /** The plain Java backend takes a third of the questions, of the families whose rate shows in a third. */
    @ParameterizedTest
    @ValueSource(strings = {"BF16", "Q8_0"})
    void javaRatesAreWithinTwoPoints(WeightType type) {
        Map<String, Questions.Family> sure = new LinkedHashMap<>(QUESTIONS.families());
        sure.values().removeIf(family -> family.measured() < 1);
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options(type).device(Device.JAVA).build())) {
            compare("JAVA " + type, model, sure, 3);
        }
    }

    @ParameterizedTest
    @CsvSource({"10", "30", "60"})
    void passKeysAreFound(String sentences) {
        List<Questions.Case> cases = QUESTIONS.passKeys().get(sentences);
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options(null).build())) {
            List<String> answers = Questions.answers(model, cases, 24);
            for (int i = 0; i < cases.size(); i++) {
                assertTrue(answers.get(i).contains(cases.get(i).answer()), cases.get(i).answer() + " in " + answers.get(i));
            }
        }
    }
}
