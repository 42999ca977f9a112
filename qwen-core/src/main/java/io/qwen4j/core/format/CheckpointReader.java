package io.qwen4j.core.format;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.gguf.GgufCheckpoint;
import io.qwen4j.core.format.safetensors.SafetensorsCheckpoint;
import java.nio.file.Files;
import java.nio.file.Path;

/** Opens models of either format. */
public final class CheckpointReader {
    private CheckpointReader() {}

    /**
     * Opens and checks a model.
     *
     * @param model a Hugging Face directory or a GGUF file, for a split one the first of its files
     */
    public static Checkpoint open(Path model, ModelLimits limits) {
        if (Files.isDirectory(model)) {
            return SafetensorsCheckpoint.open(model, limits);
        }
        if (Files.exists(model)) {
            return GgufCheckpoint.open(model, limits);
        }
        throw FormatError.of(Reason.MISSING, model, "there is no such file or directory");
    }
}
