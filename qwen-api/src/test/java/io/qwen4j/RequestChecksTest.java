package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
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
        refused(() -> LoadOptions.builder().prefillSlice(0).build());
        refused(() -> LoadOptions.builder().maxConcurrent(0).build());
        refused(() -> LoadOptions.builder().queueLimit(-1).build());
        refused(() -> new ModelLimits(0, 1, 1, 1, 1, 1));
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
