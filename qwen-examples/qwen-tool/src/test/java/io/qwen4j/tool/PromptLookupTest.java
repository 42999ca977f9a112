package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.ControlTokens;
import io.qwen4j.Device;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.InstructionSet;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.ToolSpec;
import io.qwen4j.WeightType;
import io.qwen4j.tinyqwen.TinyQwen;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Tokens computed ahead do not change an answer: the bundled model answers the same requests without and with them. */
class PromptLookupTest {
    private static final String STORY = "Once upon a time there was a lion who lived near a river. One day the lion met a bird. ";
    private static final List<String> QUESTIONS = List.of(
            "What is the capital of Japan?", "Where is Peru?", "Tell me a story about a lion.");
    private static final ToolSpec THERMOMETER = new ToolSpec("get_current_temperature", "Get the current temperature of a city.", """
            {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}""");

    @Test
    void onTheJavaBackend() {
        compare(LoadOptions.builder().device(Device.JAVA).kvCache(KvCacheType.F16), "JAVA", 6);
    }

    @ParameterizedTest
    @CsvSource({"BASELINE,", "BASELINE,Q8_0", "AVX2,", "AVX2,Q4_0", "AVX2,Q4_K", "AVX512,", "AVX512,Q8_0", "VNNI,", "VNNI,Q4_0"})
    void onEveryInstructionSet(InstructionSet set, @Nullable WeightType type) {
        try {
            compare(LoadOptions.builder().device(Device.CPU).instructionSet(set).quantization(type), set + " " + type, 24);
        } catch (BackendUnavailableException e) {
            System.out.println("Not compared on " + set + ": " + e.getMessage());
        }
    }

    private static void compare(LoadOptions.Builder options, String what, int requests) {
        long seed = ThreadLocalRandom.current().nextLong();
        // One after the other; several in small slices; and several with a cache for about two of them.
        List<GenerationResult> alone;
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options.maxConcurrent(1).build())) {
            alone = answer(model, seed, requests, false);
            assertEquals(0, model.stats().draftedTokens());
            assertSame(alone, answer(model, seed, requests, true), what + ", one by one, seed " + seed);
            assertTrue(model.stats().acceptedTokens() > 0, what + ", seed " + seed + ": " + model.stats());
        }
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options.maxConcurrent(3).prefillSlice(20).build())) {
            // Beside others little is drafted, and at times nothing of it comes true.
            assertSame(alone, answer(model, seed, requests, true), what + ", side by side, seed " + seed);
        }
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options.maxConcurrent(4).contextLength(448).cacheTokens(448).build())) {
            assertSame(alone, answer(model, seed, requests, true), what + ", in a small cache, seed " + seed);
        }
    }

    private static void assertSame(List<GenerationResult> expected, List<GenerationResult> found, String what) {
        for (int i = 0; i < expected.size(); i++) {
            GenerationResult e = expected.get(i);
            GenerationResult f = found.get(i);
            String request = what + ", request " + i;
            assertEquals(e.tokens(), f.tokens(), request);
            assertEquals(e.text(), f.text(), request);
            assertEquals(e.toolCalls(), f.toolCalls(), request);
            assertEquals(e.logProbabilities(), f.logProbabilities(), request);
            assertEquals(e.finishReason(), f.finishReason(), request);
            assertEquals(e.stop(), f.stop(), request);
            assertEquals(e.usage(), f.usage(), request);
        }
    }

    private static List<GenerationResult> answer(QwenModel model, long seed, int requests, boolean ahead) {
        Random random = new Random(seed);
        List<Generation> running = new ArrayList<>();
        running.add(model.submit(repetition(ahead)));
        for (int i = 1; i < requests; i++) {
            running.add(model.submit(request(random, ahead)));
        }
        return running.stream().map(Generation::await).toList();
    }

    /** A text whose greedy continuation repeats it: tokens that are computed ahead hold here, whatever the random requests are. */
    private static GenerationRequest repetition(boolean ahead) {
        GenerationOptions options = GenerationOptions.builder()
                .sampling(SamplingOptions.builder().temperature(0).build())
                .maxTokens(40)
                .ignoreEndTokens(true)
                .promptLookup(ahead ? 8 : 0)
                .build();
        return new GenerationRequest.Text(STORY.repeat(3), ControlTokens.PLAIN, options);
    }

    /** The same requests for the same random numbers, whether tokens are computed ahead or not. */
    private static GenerationRequest request(Random random, boolean ahead) {
        int lookup = 1 + random.nextInt(16);
        GenerationOptions.Builder options = GenerationOptions.builder()
                .sampling(sampling(random))
                .maxTokens(1 + random.nextInt(120))
                .logProbabilities(random.nextInt(3) - 1)
                .promptLookup(ahead ? lookup : 0);
        if (random.nextInt(4) == 0) {
            options.stop(List.of("river", " the", "."));
        }
        return switch (random.nextInt(3)) {
            case 0 -> new GenerationRequest.Chat(
                    List.of(Message.user(QUESTIONS.get(random.nextInt(QUESTIONS.size())))), List.of(), options.build());
            case 1 -> new GenerationRequest.Chat(
                    List.of(Message.user("How warm is it in Oslo?")), List.of(THERMOMETER), options.build());
            default -> new GenerationRequest.Text(
                    STORY.repeat(1 + random.nextInt(3)), ControlTokens.PLAIN, options.ignoreEndTokens(random.nextBoolean()).build());
        };
    }

    private static SamplingOptions sampling(Random random) {
        SamplingOptions.Builder options = SamplingOptions.builder()
                .temperature(random.nextInt(3) == 0 ? 0 : 0.2f + random.nextFloat())
                .seed(random.nextLong());
        switch (random.nextInt(8)) {
            case 0 -> options.topK(1 + random.nextInt(40));
            case 1 -> options.topP(0.5f + random.nextFloat() / 2);
            case 2 -> options.minP(0.05f);
            case 3 -> options.typicalP(0.8f);
            case 4 -> options.repetitionPenalty(1.1f);
            case 5 -> options.presencePenalty(0.3f).frequencyPenalty(0.1f);
            case 6 -> options.logitBias(Map.of(300, 2f, 500, -3f));
            default -> options.topK(20).topP(0.9f);
        }
        return options.build();
    }
}
