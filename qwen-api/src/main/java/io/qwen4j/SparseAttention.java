package io.qwen4j;

import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;
import java.util.List;

/**
 * Calibrates and measures sparse prefill, see {@link SparsePrefill}. Both load the model for themselves and compute on the calling thread.
 *
 * <p>The measure is the attention recall of the Qwen2.5-1M report: the share of a query's attention weight that lies on the chosen keys,
 * {@code exp(lse sparse - lse full)}, where lse is the logarithm of the sum of the exponentials of its logits.
 */
public final class SparseAttention {
    private SparseAttention() {}

    /**
     * Finds budgets for each layer and head and writes them in the form of the published {@code sparse_attention_config.json}.
     *
     * <p>The tokens are prefilled in slices with all keys. Beginning with the least budgets, in each measured slice the budgets of a head
     * are raised, of columns or of diagonals, whichever gains more recall for the keys that it adds, until the mean recall of the slice's
     * queries reaches {@code recall} in every run of queries (a slice, cut at the borders of chunks). So it holds for all measured runs.
     * Up to 33 slices are measured, evenly spaced, the last one among them: the cost is that of a prefill and of a few dozen prefills'
     * attention of those slices. The score written beside budgets is the lowest recall seen with them.
     *
     * <p>Sparse prefill is only as good as calibrated where prompts are like the text and not much longer.
     *
     * @param model a Hugging Face directory or a GGUF file
     * @param options how to load it; {@code contextLength}, {@code maxConcurrent} and {@code sparsePrefill} are not looked at
     * @param tokens the text, at least 512 tokens
     * @param recall the recall to reach, above 0 and below 1
     * @param output the file to write; an existing one is replaced, and it appears under its name only when it is complete
     * @param progress hears of the stage {@code calibrate}, in tokens
     * @return what was found
     * @throws ModelFileException if the model's files are not what they should be, or writing fails
     * @throws InsufficientMemoryException if weights and cache do not fit in memory
     */
    public static SparseCalibration calibrate(
            Path model, LoadOptions options, int[] tokens, double recall, Path output, ProgressListener progress) {
        if (!(recall > 0 && recall < 1)) {
            throw new IllegalArgumentException("recall must be above 0 and below 1, found " + recall);
        }
        return QwenProvider.instance().calibrateSparse(model, options, tokens.clone(), recall, output, progress);
    }

    /**
     * Prefills a text once for each length and attends twice in every slice and layer, to all keys and to the chosen ones, over the same
     * cache: what is lost, and what is gained.
     *
     * @param model a Hugging Face directory or a GGUF file
     * @param options how to load it; {@code sparsePrefill} says with which budgets and must be there; its threshold,
     *     {@code contextLength} and {@code maxConcurrent} are not looked at
     * @param tokens the text
     * @param lengths numbers of its first tokens to prefill, each at least 1
     * @param followSparse whether the next layer takes what came of the chosen keys, as in use, instead of what came of all
     * @param progress hears of the stage {@code measure}, in tokens
     * @return the figures of each length
     * @throws ModelFileException if the model's files or the budgets are not what they should be
     * @throws InsufficientMemoryException if weights and cache do not fit in memory
     */
    public static List<SparseMeasurement> measure(
            Path model, LoadOptions options, int[] tokens, List<Integer> lengths, boolean followSparse, ProgressListener progress) {
        if (options.sparsePrefill() == null) {
            throw new IllegalArgumentException("sparsePrefill must say which budgets are measured");
        }
        if (lengths.isEmpty()) {
            throw new IllegalArgumentException("lengths must have at least one, found none");
        }
        for (int length : lengths) {
            if (length < 1 || length > tokens.length) {
                throw new IllegalArgumentException("a length must be 1 to " + tokens.length + ", the tokens given, found " + length);
            }
        }
        return QwenProvider.instance().measureSparse(model, options, tokens.clone(), List.copyOf(lengths), followSparse, progress);
    }
}
