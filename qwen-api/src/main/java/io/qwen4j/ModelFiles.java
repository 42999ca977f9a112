package io.qwen4j;

import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;

/** Work on model files that needs no loaded model. */
public final class ModelFiles {
    private ModelFiles() {}

    /**
     * Lists what a model's files hold.
     *
     * @param model a Hugging Face directory or a GGUF file
     * @return metadata and tensors
     * @throws ModelFileException if the files are not what they should be
     */
    public static ModelFileInfo inspect(Path model) {
        return QwenProvider.instance().inspect(model, ModelLimits.DEFAULT);
    }

    /**
     * Writes a model as one GGUF file whose weight matrices have the given type. Norms and biases are F32; a row that is no whole number of
     * blocks gets the fallback type of the GGUF convention (Q2_K, Q3_K and IQ4_XS become IQ4_NL, Q4_K Q5_0, Q5_K Q5_1, Q6_K Q8_0, else
     * F16). The output layer, or the embedding that serves as it, gets Q6_K where the type has fewer bits, because every token's choice
     * hangs on it. The file appears under its name only when it is complete.
     *
     * @param model a Hugging Face directory or a GGUF file
     * @param type the type of the matrices
     * @param output the file to write; an existing one is replaced
     * @param progress hears of the progress
     * @throws ModelFileException if the model's files are not what they should be, or those of a reward model, or writing fails
     * @throws IllegalArgumentException if the output is a directory or a file of the model itself
     */
    public static void quantize(Path model, WeightType type, Path output, ProgressListener progress) {
        QwenProvider.instance().quantize(model, type, output, progress);
    }

    /**
     * Writes a GGUF file of random weights in the exact shape of a Qwen2.5 model, for measurements that need no real model: it loads, runs
     * and answers nonsense, here and in llama.cpp. Equal arguments give equal files.
     *
     * <p>Tensors have the types that {@link #quantize} gives them, and values for which activations and logits stay in an ordinary range.
     * The tokenizer has the ids of Qwen2.5's control tokens and round-trips any text, but its other tokens are made up. Memory is some tens
     * of megabytes for any shape; the file takes up to 4 bytes a parameter. It appears under its name only when it is complete.
     *
     * @param shape the model whose shape it is
     * @param type the type of the matrices
     * @param seed of the random weights
     * @param output the file to write; an existing one is replaced
     * @param progress hears of the stage {@code synthesize}, in bytes
     * @throws ModelFileException if the disk has too little space left, or writing fails
     * @throws IllegalArgumentException if the output is a directory
     */
    public static void synthesize(ModelShape shape, WeightType type, long seed, Path output, ProgressListener progress) {
        QwenProvider.instance().synthesize(shape, type, seed, output, progress);
    }
}
