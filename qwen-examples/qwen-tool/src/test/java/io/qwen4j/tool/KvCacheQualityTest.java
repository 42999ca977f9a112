package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.InstructionSet;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.QwenModel;
import io.qwen4j.tinyqwen.TinyQwen;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.jspecify.annotations.Nullable;

/** What each type of the KV cache costs: perplexity of the bundled model beside that with keys and values in F32, on the Java backend. */
class KvCacheQualityTest {
    private static final List<String> TEXTS = QualityTexts.of(Questions.read());
    private static final double EXACT = perplexity(Device.JAVA, null, KvCacheType.F32);

    private static double perplexity(Device device, @Nullable InstructionSet set, KvCacheType type) {
        LoadOptions options = LoadOptions.builder().device(device).instructionSet(set).kvCache(type).build();
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options)) {
            return QualityTexts.perplexity(model, TEXTS);
        }
    }

    private static void check(String where, KvCacheType type, double perplexity) {
        double change = 100 * (perplexity / EXACT - 1);
        String line = String.format(Locale.ROOT, "KV cache in %s on %s: perplexity %.4f with F32, %+.3f %%", type, where, EXACT, change);
        System.out.println(line);
        assertTrue(Math.abs(change) <= 0.5, line);
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16", "INT8"})
    void roundedKeysAndValuesCostLittle(KvCacheType type) {
        check("java", type, perplexity(Device.JAVA, null, type));
        for (InstructionSet set : InstructionSet.values()) {
            try {
                check("cpu " + set, type, perplexity(Device.CPU, set, type));
            } catch (BackendUnavailableException e) {
                System.out.println(type + " is not measured on " + set + ": " + e.getMessage());
            }
        }
    }
}
