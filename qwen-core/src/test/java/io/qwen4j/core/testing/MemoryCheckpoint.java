package io.qwen4j.core.testing;

import io.qwen4j.ModelFileInfo;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.GenerationDefaults;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;

/** A checkpoint in memory, whose tensors a test can damage. */
public final class MemoryCheckpoint implements Checkpoint {
    private final QwenConfig config;
    private final Map<String, TensorSource> tensors;

    /** Makes a checkpoint of these tensors. */
    public MemoryCheckpoint(QwenConfig config, Map<String, TensorSource> tensors) {
        this.config = config;
        this.tensors = tensors;
    }

    /** Makes a checkpoint of random weights of one type; vectors are F32. */
    public static MemoryCheckpoint random(QwenConfig config, io.qwen4j.WeightType type, long seed) {
        Random random = new Random(seed);
        Map<String, TensorSource> tensors = new LinkedHashMap<>();
        for (QwenTensors.Expected expected : QwenTensors.separate(config).toList()) {
            int rows = (int) expected.rows();
            int columns = (int) expected.columns();
            float[] values = new float[rows * columns];
            for (int i = 0; i < values.length; i++) {
                double x = random.nextGaussian();
                values[i] = (float) (expected.matrix() ? x * 1.2 / Math.sqrt(columns) : expected.name().contains("norm") ? 1 + 0.2 * x : x);
            }
            tensors.put(expected.name(), BytesTensor.of(
                    expected.name(), expected.matrix() ? type : io.qwen4j.WeightType.F32, rows, columns, values));
        }
        return new MemoryCheckpoint(config, tensors);
    }

    /** The tensors, to change. */
    public Map<String, TensorSource> tensors() {
        return tensors;
    }

    @Override
    public Path path() {
        return Path.of("memory");
    }

    @Override
    public QwenConfig config() {
        return config;
    }

    @Override
    public Set<String> tensorNames() {
        return tensors.keySet();
    }

    @Override
    public Optional<TensorSource> tensor(String name) {
        return Optional.ofNullable(tensors.get(name));
    }

    @Override
    public long[] shape(String name) {
        TensorSource tensor = tensors.get(name);
        return tensor.rows() == 1 ? new long[] {tensor.columns()} : new long[] {tensor.rows(), tensor.columns()};
    }

    @Override
    public GenerationDefaults generationDefaults() {
        throw new UnsupportedOperationException();
    }

    @Override
    public ModelFileInfo describe() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {
        // Nothing is open.
    }
}
