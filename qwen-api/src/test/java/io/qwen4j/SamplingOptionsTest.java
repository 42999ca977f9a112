package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

class SamplingOptionsTest {
    @Test
    void valuesOutsideTheirRangesAreRefused() {
        List<UnaryOperator<SamplingOptions.Builder>> wrong = List.of(
                b -> b.temperature(-1),
                b -> b.temperature(Float.NaN),
                b -> b.temperature(Float.POSITIVE_INFINITY),
                b -> b.topK(-1),
                b -> b.topP(0),
                b -> b.topP(Math.nextUp(1f)),
                b -> b.topP(Float.NaN),
                b -> b.minP(-0.1f),
                b -> b.minP(1.1f),
                b -> b.typicalP(0),
                b -> b.repetitionPenalty(0),
                b -> b.repetitionPenalty(Float.NaN),
                b -> b.presencePenalty(101),
                b -> b.frequencyPenalty(Float.NEGATIVE_INFINITY),
                b -> b.logitBias(Map.of(-1, 1f)),
                b -> b.logitBias(Map.of(1, Float.NaN)),
                b -> b.logitBias(Map.of(1, Float.POSITIVE_INFINITY)));
        for (int i = 0; i < wrong.size(); i++) {
            UnaryOperator<SamplingOptions.Builder> change = wrong.get(i);
            assertThrows(IllegalArgumentException.class, () -> change.apply(SamplingOptions.builder()).build(), "case " + i);
        }
    }

    @Test
    void aBuilderFromOptionsKeepsEveryComponent() {
        SamplingOptions all = new SamplingOptions(0.5f, 7, 0.9f, 0.05f, 0.8f, 1.1f, 0.2f, -0.3f, Map.of(5, -1f), 42L);
        assertEquals(all, all.toBuilder().build());
    }
}
