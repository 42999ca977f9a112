package io.qwen4j;

/**
 * Bounds on what is believed of a model's files; a file beyond them is refused with {@link ModelFileException.Reason#LIMIT}.
 *
 * @param headerBytes size of a safetensors header or of a GGUF header (metadata and tensor table), in bytes
 * @param tokenizerBytes size of a tokenizer file, in bytes
 * @param tensors number of tensors in one file
 * @param layers number of decoder layers
 * @param vocabulary number of vocabulary rows
 * @param templateCharacters length of a chat template
 */
public record ModelLimits(long headerBytes, long tokenizerBytes, int tensors, int layers, int vocabulary, int templateCharacters) {
    /** The default bounds: several times what the largest published Qwen2.5 checkpoint needs. */
    public static final ModelLimits DEFAULT = new ModelLimits(100_000_000, 256L << 20, 100_000, 512, 1 << 20, 1 << 20);

    /** Checks that every bound is positive. */
    public ModelLimits {
        if (headerBytes < 1 || tokenizerBytes < 1 || tensors < 1 || layers < 1 || vocabulary < 1 || templateCharacters < 1) {
            throw new IllegalArgumentException("a limit must be at least 1");
        }
    }
}
