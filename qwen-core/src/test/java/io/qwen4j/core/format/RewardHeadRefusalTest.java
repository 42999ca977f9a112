package io.qwen4j.core.format;

import static io.qwen4j.core.format.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.testing.MemoryCheckpoint;
import io.qwen4j.core.testing.SafetensorsBuilder;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Reward heads whose configuration and tensors do not go together. */
class RewardHeadRefusalTest {
    @TempDir
    Path temp;

    private Path model;

    @BeforeEach
    void name() {
        model = temp.resolve("model");
    }

    private QwenConfig open() {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            return c.config();
        }
    }

    private void replace(String text, String by) throws IOException {
        Path config = model.resolve("config.json");
        String json = Files.readString(config);
        assertTrue(json.contains(text), json);
        Files.writeString(config, json.replace(text, by));
    }

    @ParameterizedTest
    @CsvSource({"REWARD, 1, 2", "REWARD, 1, 0", "PROCESS_REWARD, 2, 1", "PROCESS_REWARD, 2, 3"})
    void refusesLabelsThatTheHeadDoesNotHave(QwenConfig.Head head, int right, int wrong) throws IOException {
        QwenConfig reward = TinyCheckpoints.config(false).with(head);
        TinyCheckpoints.directory(model, reward, WeightType.BF16, 3);
        assertEquals(reward, open());
        // The output layer is neither of its own nor the embedding.
        replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true, \"num_labels\": " + right);
        assertEquals(reward, open());
        replace("\"num_labels\": " + right, "\"num_labels\": " + wrong);
        assertRefused(model, Reason.CONFIG, "num_labels is " + wrong + ", expected " + right);
    }

    @ParameterizedTest
    @ValueSource(strings = {"score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias"})
    void refusesARewardHeadOfOtherShapes(String name) {
        QwenConfig reward = TinyCheckpoints.config(false).with(QwenConfig.Head.REWARD);
        TinyCheckpoints.directory(model, reward.with(QwenConfig.Head.PROCESS_REWARD), WeightType.BF16, 3);
        SafetensorsBuilder missing = new SafetensorsBuilder();
        SafetensorsBuilder other = new SafetensorsBuilder();
        try (Checkpoint weights = MemoryCheckpoint.random(reward, WeightType.BF16, 3)) {
            for (QwenTensors.Expected e : QwenTensors.of(reward)) {
                TensorSource source = weights.tensor(e.name()).orElseThrow();
                if (!e.name().equals(name)) {
                    missing.add(e.name(), source.type().name(), e.shape(), TinyCheckpoints.bytes(source));
                    other.add(e.name(), source.type().name(), e.shape(), TinyCheckpoints.bytes(source));
                } else {
                    other.add(e.name(), "F32", new long[] {3, 5}, new byte[4 * 3 * 5]);
                }
            }
        }
        TinyCheckpoints.writeConfig(model, reward);
        missing.write(model.resolve("model.safetensors"));
        assertRefused(model, Reason.MISSING, name);
        other.write(model.resolve("model.safetensors"));
        assertRefused(model, Reason.SHAPE, name);
    }
}
