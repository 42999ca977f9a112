package io.qwen4j;

import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * How long prompts are prefilled with sparse attention: each head attends to some single keys that all queries see (columns), and to keys
 * at some distances (diagonals), chosen anew for each slice of the prompt ({@link LoadOptions#prefillSlice()}) by its last 64 queries
 * (the "vertical-slash" pattern of MInference, Jiang et al., 2407.02490, as in the Qwen2.5-1M report). That saves a part of the quadratic
 * work of attention and changes answers slightly; choosing costs about as much as 64 queries that attend to all keys, so it weighs less
 * in larger slices. Answers are then generated with all keys; scores, logits and embeddings are always computed with all keys.
 *
 * <p>How many keys a head may choose, its budgets, comes from a file in the form of the published {@code sparse_attention_config.json},
 * which {@link SparseAttention#calibrate} writes for any model. Immutable.
 *
 * @param budgets the file of budgets; null takes {@code sparse_attention_config.json} beside the model, unless {@code columns} and
 *     {@code diagonals} are given
 * @param columns budget of columns of every head, for measurements: 1 to 2^24, less than 30 counts as 30; 0 for those of the file
 * @param diagonals budget of diagonals of every head, for measurements: 1 to 2^24, less than 100 counts as 100; 0 for those of the file
 * @param threshold prompts of more tokens than this are prefilled sparsely, 0 to 2^31 - 1
 */
public record SparsePrefill(@Nullable Path budgets, int columns, int diagonals, int threshold) {
    /** The threshold of the published models, in tokens. */
    public static final int DEFAULT_THRESHOLD = 32_768;
    /** The budgets that are published with a model. */
    public static final SparsePrefill PUBLISHED = new SparsePrefill(null, 0, 0, DEFAULT_THRESHOLD);

    private static final int MOST = 1 << 24;

    /** Checks the ranges. */
    public SparsePrefill {
        Checks.range("columns", columns, 0, MOST);
        Checks.range("diagonals", diagonals, 0, MOST);
        Checks.range("threshold", threshold, 0, Integer.MAX_VALUE);
        if ((columns == 0) != (diagonals == 0)) {
            throw new IllegalArgumentException(
                    "columns and diagonals must both be given or both be 0, found " + columns + " and " + diagonals);
        }
        if (budgets != null && columns > 0) {
            throw new IllegalArgumentException("budgets of a file (" + budgets + ") and equal ones of all heads exclude each other");
        }
    }

    /**
     * The budgets of a file.
     *
     * @param budgets the file
     * @return the setting, with the default threshold
     */
    public static SparsePrefill of(Path budgets) {
        return new SparsePrefill(Objects.requireNonNull(budgets, "budgets"), 0, 0, DEFAULT_THRESHOLD);
    }

    /**
     * Equal budgets of all heads, for measurements.
     *
     * @param columns 1 to 2^24
     * @param diagonals 1 to 2^24
     * @return the setting, with the default threshold
     */
    public static SparsePrefill uniform(int columns, int diagonals) {
        Checks.range("columns", columns, 1, MOST);
        Checks.range("diagonals", diagonals, 1, MOST);
        return new SparsePrefill(null, columns, diagonals, DEFAULT_THRESHOLD);
    }

    /**
     * The same budgets with another threshold.
     *
     * @param tokens prompts of more tokens than this are prefilled sparsely
     * @return the setting
     */
    public SparsePrefill withThreshold(int tokens) {
        return new SparsePrefill(budgets, columns, diagonals, tokens);
    }
}
