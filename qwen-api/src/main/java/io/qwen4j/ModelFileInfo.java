package io.qwen4j;

import java.util.List;
import java.util.Map;

/**
 * What a model's files hold, read without loading weights.
 *
 * @param format {@code safetensors} or {@code gguf}
 * @param positions in words, how the files extend positions beyond the training length; {@code plain} if they do not
 * @param quantization in words, how the matrices of a Hugging Face directory were quantized, such as {@code GPTQ, 4 bits, groups of 128};
 *     {@code not quantized} if they were not, {@code by type of tensor} in GGUF files
 * @param parameters values of all tensors; of a matrix that GPTQ or AWQ stores in several tensors those of the matrix
 * @param metadata configuration or GGUF metadata in the files' order, values as text; long arrays are shortened
 * @param tensors the tensors
 */
public record ModelFileInfo(
        String format, String positions, String quantization, long parameters, Map<String, String> metadata, List<Tensor> tensors) {
    /** Copies the list. */
    public ModelFileInfo {
        tensors = List.copyOf(tensors);
    }

    /**
     * A tensor.
     *
     * @param name its name in the file
     * @param type its storage type in the file's words, such as {@code BF16} or {@code Q4_K}
     * @param shape its dimensions, the slowest first
     * @param bytes its size
     */
    public record Tensor(String name, String type, List<Long> shape, long bytes) {
        /** Copies the list. */
        public Tensor {
            shape = List.copyOf(shape);
        }
    }
}
