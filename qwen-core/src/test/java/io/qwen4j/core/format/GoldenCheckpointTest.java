package io.qwen4j.core.format;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.testing.GoldenFiles;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GoldenCheckpointTest {
    @TempDir
    Path temp;

    @Test
    void readsDirectoryWithItsOwnHead() {
        Path dir = GoldenFiles.unpack("dense-gqa7", temp);
        try (Checkpoint c = CheckpointReader.open(dir, ModelLimits.DEFAULT)) {
            assertEquals(
                    new QwenConfig("qwen2", 2, 224, 7, 1, 32, 352, 512, false, 1e-5f, 256, new QwenConfig.Rope(1e6, null)), c.config());
            TensorSource q = c.tensor("model.layers.1.self_attn.q_proj.weight").orElseThrow();
            assertEquals(224, q.rows());
            assertEquals(224, q.columns());
            assertEquals(WeightType.BF16, q.type());
            TensorSource bias = c.tensor("model.layers.1.self_attn.k_proj.bias").orElseThrow();
            assertEquals(1, bias.rows());
            assertEquals(32, bias.columns());
            assertArrayEquals(new long[] {32}, c.shape(bias.name()));
            assertEquals(Set.of(501), c.generationDefaults().endTokens());
            assertEquals(1, c.generationDefaults().sampling().temperature());
            assertTrue(c.tensor(QwenTensors.HEAD).isPresent());
            assertTrue(c.tensor("nothing").isEmpty());
            ByteBuffer whole = ByteBuffer.allocate((int) q.byteSize());
            q.read(0, whole);
            ByteBuffer part = ByteBuffer.allocateDirect(10);
            q.read(1000, part);
            assertEquals(whole.slice(1000, 10), part.flip());
        }
    }

    @Test
    void readsShardsAndTiedHead() {
        Path dir = GoldenFiles.unpack("dense-tied", temp);
        try (Checkpoint c = CheckpointReader.open(dir, ModelLimits.DEFAULT)) {
            assertTrue(c.config().tiedHead());
            assertEquals(14, c.config().heads());
            assertEquals(2, c.config().kvHeads());
            assertFalse(c.tensorNames().contains(QwenTensors.HEAD));
            assertEquals(QwenTensors.of(c.config()).size(), c.describe().tensors().size());
        }
    }

    @Test
    void readsRewardHeads() {
        for (String name : new String[] {"reward", "process-reward"}) {
            Path dir = GoldenFiles.unpack(name, temp);
            QwenConfig.Head head = name.equals("reward") ? QwenConfig.Head.REWARD : QwenConfig.Head.PROCESS_REWARD;
            try (Checkpoint c = CheckpointReader.open(dir, ModelLimits.DEFAULT)) {
                assertEquals(head, c.config().head());
                assertEquals(head.rewards(), c.config().outputs());
                assertArrayEquals(new long[] {head.rewards(), 224}, c.shape(QwenTensors.REWARD_OUTPUT));
                // The files have an output layer, too, which is not read.
                assertTrue(c.tensorNames().contains(QwenTensors.HEAD));
                assertTrue(QwenTensors.of(c.config()).stream().noneMatch(e -> e.name().equals(QwenTensors.HEAD)));
            }
        }
    }

    @Test
    void readsYarnInBothSpellings() {
        try (Checkpoint c = CheckpointReader.open(GoldenFiles.unpack("yarn", temp), ModelLimits.DEFAULT)) {
            QwenConfig.Yarn yarn = c.config().rope().yarn();
            assertNotNull(yarn);
            assertEquals(4, yarn.factor());
            assertEquals(64, yarn.originalContextLength());
            assertEquals(1.138629436, yarn.attentionFactor(), 1e-9);
            assertEquals(
                    "{\"type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":64}",
                    c.describe().metadata().get("rope_scaling"));
            assertEquals("qwen2", c.describe().metadata().get("model_type"));
            assertEquals(32, yarn.betaFast());
            assertEquals(1, yarn.betaSlow());
            assertTrue(yarn.truncate());
        }
        try (Checkpoint c = CheckpointReader.open(GoldenFiles.unpack("yarn-new-keys", temp), ModelLimits.DEFAULT)) {
            assertEquals(new QwenConfig.Yarn(2.5, 48, 1.2, 24, 2, true), c.config().rope().yarn());
        }
        try (Checkpoint c = CheckpointReader.open(GoldenFiles.unpack("dense-gqa7", temp), ModelLimits.DEFAULT)) {
            assertNull(c.config().rope().yarn());
        }
    }
}
