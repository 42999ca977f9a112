package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** Whole models on an emulated CUDA device: chosen by itself, the same answers, and its memory counted. */
@EnabledIfSystemProperty(named = "qwen.test.device", matches = "cuda", disabledReason = "of the run on an emulated device")
class CudaModelTest {
    /** With weights of other types, steps of more than 8 tokens have other last bits, and chance decides which requests share a step. */
    private static final WeightType SAME_BITS = WeightType.F32;

    @TempDir
    private Path directory;

    private static String answer(QwenModel model, int[] prompt) {
        GenerationOptions options =
                GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(12).ignoreEndTokens(true).build();
        return model.submit(new GenerationRequest.Tokens(Arrays.stream(prompt).boxed().toList(), options)).await().tokens().toString();
    }

    @Test
    void theDeviceIsChosenByItselfAndAnswersAsTheOthersDo() throws Exception {
        NativeSets.provider();
        int[] ids = GoldenCheckpoint.unpack("dense-gqa7", directory).ints("input_ids");
        try (QwenModel cuda = QwenModel.load(directory, LoadOptions.builder().kvCache(KvCacheType.F32).build());
                QwenModel java = QwenModel.load(directory, LoadOptions.builder().device(Device.JAVA).kvCache(KvCacheType.F32).build())) {
            assertTrue(cuda.info().backend().startsWith("cuda, device 0 (emulated device 0"), cuda.info().backend());
            assertEquals(answer(java, ids), answer(cuda, ids));
        }
        // An instruction set is asked of a CPU.
        try (QwenModel cpu = QwenModel.load(directory, LoadOptions.builder().instructionSet(InstructionSet.BASELINE).build())) {
            assertTrue(cpu.info().backend().startsWith("cpu baseline"), cpu.info().backend());
        }
    }

    /** With log-probabilities tokens are chosen from whole rows of logits, without from what the device selects of them. */
    @Test
    void whatTheDeviceSelectsGivesTheTokensOfWholeRows() throws Exception {
        NativeSets.provider();
        int[] ids = GoldenCheckpoint.unpack("dense-gqa7", directory).ints("input_ids");
        List<Integer> prompt = Arrays.stream(ids).limit(5).boxed().toList();
        List<SamplingOptions.Builder> samplings = List.of(
                SamplingOptions.builder().temperature(0),
                SamplingOptions.builder().temperature(0).repetitionPenalty(1.1f),
                SamplingOptions.builder().temperature(0).presencePenalty(2).frequencyPenalty(0.5f).logitBias(Map.of(7, 3f, 9, -2f)),
                SamplingOptions.builder().temperature(0.7f).topK(20).topP(0.8f).repetitionPenalty(1.05f),
                SamplingOptions.builder().temperature(1.5f).topK(50).minP(0.05f),
                SamplingOptions.builder().temperature(0.8f).topP(0.9f).frequencyPenalty(0.3f),
                SamplingOptions.builder().minP(0.2f).presencePenalty(-0.5f),
                SamplingOptions.builder().topK(40).typicalP(0.8f),
                SamplingOptions.builder().temperature(0.9f));
        LoadOptions options =
                LoadOptions.builder().device(Device.CUDA).quantization(SAME_BITS).kvCache(KvCacheType.F32).build();
        try (QwenModel cuda = QwenModel.load(directory, options)) {
            for (SamplingOptions.Builder sampling : samplings) {
                GenerationOptions.Builder asked = GenerationOptions.builder().sampling(sampling.seed(5L).build()).maxTokens(6)
                        .ignoreEndTokens(true);
                // Two at a time, so that a step has several rows, and one of them ahead.
                List<Generation> selected = new ArrayList<>();
                for (int i = 0; i < 2; i++) {
                    selected.add(cuda.submit(new GenerationRequest.Tokens(prompt, asked.promptLookup(2 * i).build())));
                }
                Generation whole = cuda.submit(new GenerationRequest.Tokens(prompt, asked.logProbabilities(0).build()));
                for (Generation one : selected) {
                    assertEquals(whole.await().tokens(), one.await().tokens(), sampling.build().toString());
                }
            }
        }
    }

    @Test
    void eachTypeOfWeightsAndOfKeysComputes() throws Exception {
        NativeSets.provider();
        int[] ids = GoldenCheckpoint.unpack("dense-gqa7", directory).ints("input_ids");
        for (KvCacheType type : KvCacheType.values()) {
            for (WeightType weights : new WeightType[] {WeightType.Q8_0, WeightType.Q4_0}) {
                LoadOptions options = LoadOptions.builder().device(Device.CUDA).kvCache(type).quantization(weights).build();
                try (QwenModel cuda = QwenModel.load(directory, options)) {
                    assertEquals(12, answer(cuda, ids).split(",").length, type + " " + weights);
                }
            }
        }
    }

    /** Several requests at a time in a cache that is too small for all of them: some are taken out and computed again. */
    @Test
    void recordedStepsGiveTheSameTokens() throws Exception {
        NativeSets.provider();
        int[] ids = GoldenCheckpoint.unpack("dense-gqa7", directory).ints("input_ids");
        LoadOptions options = LoadOptions.builder().device(Device.CUDA).quantization(SAME_BITS).contextLength(128).cacheTokens(160)
                .maxConcurrent(3).build();
        List<String> plain;
        System.setProperty("qwen4j.cuda.graphs", "false");
        try (QwenModel model = QwenModel.load(directory, options)) {
            plain = answers(model, ids);
        } finally {
            System.clearProperty("qwen4j.cuda.graphs");
        }
        try (QwenModel model = QwenModel.load(directory, options)) {
            assertEquals(plain, answers(model, ids));
        }
    }

    private static List<String> answers(QwenModel model, int[] ids) {
        GenerationOptions options =
                GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(60).ignoreEndTokens(true).build();
        List<Generation> generations = new ArrayList<>();
        for (int i = 1; i <= 4; i++) {
            List<Integer> prompt = Arrays.stream(ids).limit(2 + 5L * i).boxed().toList();
            generations.add(model.submit(new GenerationRequest.Tokens(prompt, options)));
        }
        return generations.stream().map(g -> g.await().tokens().toString()).toList();
    }

    @Test
    void whatDoesNotFitIntoTheDeviceIsRefusedWithFigures() throws Exception {
        NativeSets.provider();
        GoldenCheckpoint.unpack("dense-gqa7", directory);
        LoadOptions options = LoadOptions.builder().device(Device.CUDA).cacheTokens(1_000_000_000).build();
        InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> QwenModel.load(directory, options));
        assertTrue(e.availableBytes() <= 4L << 30, "the emulated device has 4 GiB, told are " + e.availableBytes());
        assertTrue(e.requiredBytes() > e.availableBytes(), e.getMessage());
    }
}
