package io.qwen4j.core.format;

import io.qwen4j.ModelFileInfo;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.ops.TensorSource;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;

/**
 * A model's files, opened and checked: structure, sizes and configuration. Tensor data is not touched until a tensor is read.
 *
 * <p>Tensors have the names of Hugging Face checkpoints ({@code model.layers.0.self_attn.q_proj.weight}) whatever the format. Opening
 * refuses what {@link io.qwen4j.ModelFileException.Reason} lists. Thread-safe; close it when the weights are loaded.
 */
public interface Checkpoint extends AutoCloseable {
    /** The directory or (first) file. */
    Path path();

    /** Hyper-parameters. */
    QwenConfig config();

    /** Names of all tensors. */
    Set<String> tensorNames();

    /** A tensor, or empty if there is none of that name. Vectors have one row. */
    Optional<TensorSource> tensor(String name);

    /** The shape of a tensor as the file states it, slowest dimension first. */
    long[] shape(String name);

    /** Defaults of generation: generation_config.json, or what GGUF metadata and config.json give. */
    GenerationDefaults generationDefaults();

    /** What the files hold, for people. */
    ModelFileInfo describe();

    @Override
    void close();
}
