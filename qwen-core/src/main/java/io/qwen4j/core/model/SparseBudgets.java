package io.qwen4j.core.model;

import io.qwen4j.core.ops.KeyChoice;
import java.util.Arrays;

/** How many columns and diagonals each head may choose in sparse prefill, and how well that was when it was found. Not thread-safe. */
public final class SparseBudgets {
    private final int layers;
    private final int heads;
    private final int[] columns;
    private final int[] diagonals;
    private final double[] scores;

    /**
     * Makes the least budgets, of score 0.
     *
     * @param layers layers of the model
     * @param heads H
     */
    public SparseBudgets(int layers, int heads) {
        this.layers = layers;
        this.heads = heads;
        int count = Math.multiplyExact(layers, heads);
        columns = new int[count];
        diagonals = new int[count];
        scores = new double[count];
        Arrays.fill(columns, KeyChoice.FIRST_COLUMNS);
        Arrays.fill(diagonals, KeyChoice.NEAR_DIAGONALS);
    }

    /** The same budgets for all heads. */
    public static SparseBudgets uniform(int layers, int heads, int columns, int diagonals) {
        SparseBudgets budgets = new SparseBudgets(layers, heads);
        for (int layer = 0; layer < layers; layer++) {
            for (int head = 0; head < heads; head++) {
                budgets.set(layer, head, columns, diagonals, 0);
            }
        }
        return budgets;
    }

    /**
     * Budgets of a context: one that covers all of it is not larger. That chooses the same keys in less memory.
     *
     * @param contextLength longest sequence in tokens
     */
    public SparseBudgets within(int contextLength) {
        SparseBudgets budgets = new SparseBudgets(layers, heads);
        for (int i = 0; i < columns.length; i++) {
            budgets.columns[i] = Math.max(KeyChoice.FIRST_COLUMNS, Math.min(columns[i], contextLength));
            budgets.diagonals[i] = Math.max(KeyChoice.NEAR_DIAGONALS, Math.min(diagonals[i], contextLength));
            budgets.scores[i] = scores[i];
        }
        return budgets;
    }

    /** Sets the budgets of a head; those below what is chosen in any case are raised to it. */
    public void set(int layer, int head, int columnBudget, int diagonalBudget, double score) {
        int at = layer * heads + head;
        columns[at] = Math.max(KeyChoice.FIRST_COLUMNS, columnBudget);
        diagonals[at] = Math.max(KeyChoice.NEAR_DIAGONALS, diagonalBudget);
        scores[at] = score;
    }

    /** Layers. */
    public int layers() {
        return layers;
    }

    /** H. */
    public int heads() {
        return heads;
    }

    /** Columns that a head may choose, at least {@link KeyChoice#FIRST_COLUMNS}. */
    public int columns(int layer, int head) {
        return columns[layer * heads + head];
    }

    /** Diagonals that a head may choose, at least {@link KeyChoice#NEAR_DIAGONALS}. */
    public int diagonals(int layer, int head) {
        return diagonals[layer * heads + head];
    }

    /** The share of attention weight on the chosen keys, as far as who found the budgets tells. */
    public double score(int layer, int head) {
        return scores[layer * heads + head];
    }

    /** Largest budget of columns. */
    public int mostColumns() {
        return Arrays.stream(columns).max().orElse(KeyChoice.FIRST_COLUMNS);
    }

    /** Largest budget of diagonals. */
    public int mostDiagonals() {
        return Arrays.stream(diagonals).max().orElse(KeyChoice.NEAR_DIAGONALS);
    }
}
