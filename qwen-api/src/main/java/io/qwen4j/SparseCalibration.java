package io.qwen4j;

/**
 * What {@link SparseAttention#calibrate} found.
 *
 * @param layers layers
 * @param heads query heads of a layer
 * @param slices slices that were measured
 * @param meanColumns mean budget of columns
 * @param mostColumns largest budget of columns
 * @param meanDiagonals mean budget of diagonals
 * @param mostDiagonals largest budget of diagonals
 * @param worstRecall lowest mean recall of a run of queries, of any head
 * @param meanRecall mean recall of all measured runs and heads
 * @param keys share of the keys that the last measured slice computes with these budgets, from 0 to 1
 */
public record SparseCalibration(
        int layers,
        int heads,
        int slices,
        double meanColumns,
        int mostColumns,
        double meanDiagonals,
        int mostDiagonals,
        double worstRecall,
        double meanRecall,
        double keys) {}
