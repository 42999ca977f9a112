package io.qwen4j.core.format;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

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

    /**
     * The matrices of a row of the decoder's table: those of a stack in order, else one.
     *
     * @throws io.qwen4j.ModelFileException with {@link Reason#MISSING} if there is none of the name
     */
    default List<TensorSource> matrices(QwenTensors.Expected expected) {
        boolean stack = expected.kind() == QwenTensors.Kind.STACK;
        return IntStream.range(0, expected.count())
                .mapToObj(i -> stack ? expected.part(i).name() : expected.name())
                .map(name -> tensor(name)
                        .orElseThrow(() -> FormatError.of(Reason.MISSING, path(), "the tensor " + name + " is missing")))
                .toList();
    }

    /** The shape of a tensor as the file states it, slowest dimension first. */
    long[] shape(String name);

    /** Defaults of generation: generation_config.json, or what GGUF metadata and config.json give. */
    GenerationDefaults generationDefaults();

    /** Values of all tensors; a head beside a tied embedding is not used and does not count. */
    default long parameters() {
        long parameters = 0;
        for (String name : tensorNames()) {
            if (name.equals(QwenTensors.HEAD) && config().tiedHead()) {
                continue;
            }
            long count = 1;
            for (long dimension : shape(name)) {
                count = Math.multiplyExact(count, dimension);
            }
            parameters = Math.addExact(parameters, count);
        }
        return parameters;
    }

    /** What the files hold, for people. */
    ModelFileInfo describe();

    @Override
    void close();
}
