package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.Synthesizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** An answer to a sparse prompt has the same bits whatever runs beside it and on any number of threads, on every instruction set. */
@Tag("kernels")
class SparseBitsTest {
    private static final int[] LENGTHS = {700, 30, 450, 601, 320};

    @TempDir
    private Path directory;

    static Stream<Arguments> setsAndChunks() {
        return SameBitsTest.setsAndCaches()
                .map(arguments -> arguments.get()[0])
                .distinct()
                .flatMap(set -> Stream.of(Arguments.of(set, 0), Arguments.of(set, 200)));
    }

    private static LoadOptions.Builder options(InstructionSet set, int threads, int chunkSize) {
        return NativeSets.options(set)
                .threads(threads)
                .prefillSlice(128)
                .maxConcurrent(3)
                .dualChunk(chunkSize == 0 ? null : new DualChunk(chunkSize, chunkSize / 4, 0));
    }

    private static GenerationRequest request(int i) {
        GenerationOptions options = GenerationOptions.builder()
                .sampling(SamplingOptions.GREEDY)
                .maxTokens(4)
                .ignoreEndTokens(true)
                .logProbabilities(1)
                .build();
        return new GenerationRequest.Tokens(new Random(i).ints(LENGTHS[i], 0, 333).boxed().toList(), options);
    }

    private static String bits(GenerationResult result) {
        return result.tokens() + " " + result.logProbabilities();
    }

    @ParameterizedTest
    @MethodSource("setsAndChunks")
    void neighboursAndThreadsChangeNothing(InstructionSet set, int chunkSize) {
        var config = new QwenConfig("qwen2", 2, 256, 4, 2, 64, 512, 333, true, 1e-6f, 1024, new QwenConfig.Rope(1e6, null));
        Path file = directory.resolve("m.gguf");
        Synthesizer.synthesizeFile("sparse bits", config, 300, WeightType.Q8_0, 7, file, ProgressListener.none());
        SparsePrefill few = SparsePrefill.uniform(40, 120).withThreshold(300);
        List<String> alone = new ArrayList<>();
        try (QwenModel model = QwenModel.load(file, options(set, 1, chunkSize).sparsePrefill(few).build());
                QwenModel dense = QwenModel.load(file, options(set, 1, chunkSize).build());
                QwenModel all = QwenModel.load(
                        file, options(set, 1, chunkSize).sparsePrefill(SparsePrefill.uniform(1024, 1024).withThreshold(0)).build())) {
            for (int i = 0; i < LENGTHS.length; i++) {
                alone.add(bits(model.submit(request(i)).await()));
                String full = bits(dense.submit(request(i)).await());
                assertEquals(full, bits(all.submit(request(i)).await()), "budgets that cover all, request " + i);
                if (LENGTHS[i] > 300) {
                    assertNotEquals(full, alone.get(i), "request " + i);
                }
            }
        }
        for (int threads = 1; threads <= 3; threads++) {
            // Room for one and a half of the longest: sequences give up their pages and are computed again.
            LoadOptions options = options(set, threads, chunkSize).sparsePrefill(few).cacheTokens(1024).build();
            try (QwenModel model = QwenModel.load(file, options)) {
                List<Generation> running = new ArrayList<>();
                for (int i = 0; i < LENGTHS.length; i++) {
                    running.add(model.submit(request(i)));
                }
                for (int i = 0; i < LENGTHS.length; i++) {
                    assertEquals(alone.get(i), bits(running.get(i).await()), set + ", " + threads + " threads, request " + i);
                }
            }
        }
    }
}
