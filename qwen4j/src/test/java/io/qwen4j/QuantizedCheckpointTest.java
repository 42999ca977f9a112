package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenDecoder;
import io.qwen4j.core.model.QwenWeights;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Directories as GPTQ and AWQ write them: both backends compute what the expanded weights compute, on every instruction set. */
class QuantizedCheckpointTest {
    private static final long SEED = 31;
    private static final int TOKENS = 60;
    private static final QwenConfig CONFIG =
            new QwenConfig("qwen2", 2, 256, 4, 2, 64, 640, 96, false, 1e-6f, 128, new QwenConfig.Rope(1e6, null));
    /** Each token uses all experts: where it chose, rounding would now and then choose another one. */
    private static final QwenConfig EXPERTS = new QwenConfig(
                    "qwen2_moe", 2, 256, 4, 2, 64, 640, 96, false, 1e-6f, 128, new QwenConfig.Rope(1e6, null))
            .with(new QwenConfig.Experts(4, 4, 128, 256, true, 1, Set.of()));
    private static final Map<Device, OpsProvider> PROVIDERS = ServiceLoader.load(OpsProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .collect(Collectors.toMap(OpsProvider::device, Function.identity()));

    @TempDir
    private Path directory;

    static Stream<Arguments> forms() {
        return Stream.of(WeightType.values()).filter(t -> !t.isGguf()).flatMap(type -> Stream.of(PublishedCheckpoint.Form.values())
                .filter(form -> form != PublishedCheckpoint.Form.AWQ || type.name().startsWith("INT4"))
                .map(form -> Arguments.of(type, form)));
    }

    private static float[] logits(Path model, Device device, OpsOptions options) {
        try (Ops ops = PROVIDERS.get(device).create(options);
                Checkpoint checkpoint = CheckpointReader.open(model, ModelLimits.DEFAULT);
                QwenWeights weights = QwenWeights.load(checkpoint, ops, null, true, ProgressListener.none());
                QwenDecoder decoder = new QwenDecoder(
                        checkpoint.config(), weights, ops, TOKENS, TOKENS, ops.kvCache(new KvLayout(KvCacheType.F32, 2, 2, 32, 2, 64)));
                Batch batch = new Batch(ops, TOKENS, 1, 2, 32)) {
            batch.beginSequence(0, new int[] {0, 1}, 2);
            new Random(SEED).ints(TOKENS, 0, CONFIG.vocabularyRows()).forEach(id -> batch.addToken(id, true));
            Activation logits = decoder.forward(batch);
            float[] out = new float[TOKENS * CONFIG.vocabularyRows()];
            logits.buffer().get(0, out);
            return out;
        }
    }

    /** Root mean square of the difference over that of the logits. */
    private static double error(float[] expected, float[] found) {
        double difference = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            difference += Math.pow((double) expected[i] - found[i], 2);
            size += (double) expected[i] * expected[i];
        }
        assertTrue(size > 0);
        return Math.sqrt(difference / size);
    }

    @ParameterizedTest
    @MethodSource("forms")
    void logitsAreThoseOfTheExpandedWeights(WeightType type, PublishedCheckpoint.Form form) {
        compare(CONFIG, type, form);
    }

    @ParameterizedTest
    @MethodSource("forms")
    void logitsOfExpertsAreThoseOfTheExpandedWeights(WeightType type, PublishedCheckpoint.Form form) {
        compare(EXPERTS, type, form);
    }

    private void compare(QwenConfig config, WeightType type, PublishedCheckpoint.Form form) {
        Path packed = PublishedCheckpoint.write(directory.resolve("packed"), config, type, form, false, SEED);
        Path expanded = PublishedCheckpoint.write(directory.resolve("expanded"), config, type, form, true, SEED);
        float[] expected = logits(expanded, Device.JAVA, new OpsOptions(2, null));
        assertEquals(0, error(expected, logits(packed, Device.JAVA, new OpsOptions(2, null))), type + " " + form);

        NativeSets.all().forEach(set -> {
            double fine = error(expected, logits(packed, Device.CPU, new OpsOptions(3, set, ActivationPrecision.INT16)));
            double coarse = error(expected, logits(packed, Device.CPU, new OpsOptions(2, set, ActivationPrecision.INT8)));
            // How much a model amplifies rounding differs; 16 bits round 2^9 times as coarsely as floats.
            double floats = error(expected, logits(expanded, Device.CPU, new OpsOptions(2, set)));
            assertTrue(fine <= 512 * floats, type + " " + form + " on " + set + ": with 16 bits " + fine + ", expanded " + floats);
            assertTrue(coarse <= 5e-2, type + " " + form + " on " + set + ": " + coarse);
        });
    }
}
