package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class RequestChecksTest {
    private static void refused(Runnable work) {
        assertThrows(IllegalArgumentException.class, work::run);
    }

    @Test
    void generationOptionsOutsideTheirRangesAreRefused() {
        refused(() -> GenerationOptions.builder().maxTokens(-1).build());
        refused(() -> GenerationOptions.builder().logProbabilities(-2).build());
        refused(() -> GenerationOptions.builder().logProbabilities(21).build());
        refused(() -> GenerationOptions.builder().stop(List.of("")).build());
        refused(() -> GenerationOptions.builder().stop(List.of("x".repeat(1001))).build());
        refused(() -> GenerationOptions.builder().stop(Collections.nCopies(65, "x")).build());
    }

    @Test
    void emptyRequestsAreRefused() {
        refused(() -> new GenerationRequest.Chat(List.of()));
        refused(() -> new GenerationRequest.Tokens(List.of(), GenerationOptions.DEFAULT));
        refused(() -> new ToolSpec("", "does nothing", "{}"));
    }

    @Test
    void loadOptionsOutsideTheirRangesAreRefused() {
        refused(() -> LoadOptions.builder().threads(-1).build());
        refused(() -> LoadOptions.builder().contextLength(-1).build());
        refused(() -> LoadOptions.builder().prefillSlice(-1).build());
        refused(() -> LoadOptions.builder().maxConcurrent(0).build());
        refused(() -> LoadOptions.builder().queueLimit(-1).build());
        refused(() -> new ModelLimits(0, 1, 1, 1, 1, 1));
    }

    private static void refused(Runnable work, String... parts) {
        String message = assertThrows(IllegalArgumentException.class, work::run).getMessage();
        for (String part : parts) {
            assertTrue(message.contains(part), message);
        }
    }

    @Test
    void yarnOutsideItsRangesIsRefused() {
        for (double bad : new double[] {-4, Double.NaN, Double.POSITIVE_INFINITY, 1e6}) {
            String found = "found " + bad;
            refused(() -> Yarn.of(bad), "factor must be", found);
            refused(() -> new Yarn(Yarn.Mode.STATIC, 4, 0, bad, 0, 0), "attentionFactor must be", found);
            refused(() -> new Yarn(Yarn.Mode.STATIC, 4, 0, 0, bad, 0), "betaFast must be", found);
            refused(() -> new Yarn(Yarn.Mode.STATIC, 4, 0, 0, 0, bad), "betaSlow must be", found);
        }
        refused(() -> Yarn.of(4).from(-1), "originalContextLength must be 0 to 2147483647, found -1");
        refused(() -> new Yarn(Yarn.Mode.STATIC, 4, 0, 0, 1, 2), "betaSlow must be at most betaFast, which is 1.0, found 2.0");
        assertEquals(new Yarn(Yarn.Mode.AUTO, 4, 1024, 0, 0, 0), Yarn.of(4).auto().from(1024));
    }

    @Test
    void chunksOutsideTheirRangesAreRefused() {
        refused(() -> new DualChunk(1, 0, 0), "chunkSize must be 2 to 1073741824, found 1");
        refused(() -> new DualChunk(-2, 0, 0), "found -2");
        refused(() -> new DualChunk((1 << 30) + 1, 0, 0), "found 1073741825");
        refused(() -> new DualChunk(8, 8, 0), "localSize must be 0 to 7, found 8");
        refused(() -> new DualChunk(8, -1, 0), "localSize must be 0 to 7, found -1");
        refused(() -> new DualChunk(0, 1, 0), "localSize must be 0 to 0, found 1");
        refused(() -> new DualChunk(8, 0, -1), "originalContextLength must be 0 to 2147483647, found -1");
        refused(() -> DualChunk.forTrainingLength(15), "training length must be 16 to 1073741824, found 15");
    }

    @ParameterizedTest
    @CsvSource({
        "32768, 24576, 2048", "131072, 98304, 8192", "1073741824, 805306368, 67108864", "1024, 768, 64", "512, 384, 32", "1000, 736, 32",
        "100, 75, 6", "16, 12, 1"
    })
    void chunksFollowFromTheTrainingLength(int length, int size, int local) {
        assertEquals(new DualChunk(size, local, 0), DualChunk.forTrainingLength(length));
    }

    @ParameterizedTest
    @EnumSource(WeightType.class)
    void rowBytesAreCheckedArithmetic(WeightType type) {
        assertEquals(4L * type.blockBytes(), type.rowBytes(4L * type.blockSize()));
        refused(() -> type.rowBytes(-type.blockSize()));
        if (type.isQuantized()) {
            refused(() -> type.rowBytes(type.blockSize() + 1));
        } else {
            assertThrows(ArithmeticException.class, () -> type.rowBytes(Long.MAX_VALUE / 2 + 1));
        }
    }

    @Test
    void scoreOfKnownProbabilities() {
        Score score = new Score(List.of(1, 2, 3), List.of((float) Math.log(0.5), (float) Math.log(0.125)));
        assertEquals(Math.log(0.0625), score.total(), 1e-6);
        assertEquals(4, score.perplexity(), 1e-5);
    }
}
