package io.qwen4j.core.ops;

import org.jspecify.annotations.Nullable;

/**
 * {@code y = x wᵀ + bias} or {@code y += x wᵀ}. A piece is four rows of w: they are decoded once and applied to all rows of x. Sums run
 * in double from the first column to the last whatever the batch, so that a token's result does not depend on its neighbours.
 */
final class JavaLinear implements Workers.Task {
    private static final int PIECE_ROWS = 4;

    private final Workers workers;
    private final float[][] decoded;
    private JavaMatrix matrix;
    private int firstRow;
    private int rows;
    private float @Nullable [] bias;
    private float[] x = new float[0];
    private float[] y = new float[0];
    private int tokens;
    private boolean add;

    JavaLinear(Workers workers) {
        this.workers = workers;
        decoded = new float[workers.threads()][0];
    }

    void compute(float[] x, int tokens, JavaMatrix matrix, float @Nullable [] bias, boolean add, float[] y) {
        compute(x, tokens, matrix, 0, matrix.rows(), bias, add, y);
    }

    /** As above with some rows of the matrix. */
    void compute(
            float[] x, int tokens, JavaMatrix matrix, int firstRow, int rows, float @Nullable [] bias, boolean add, float[] y) {
        this.x = x;
        this.tokens = tokens;
        this.matrix = matrix;
        this.firstRow = firstRow;
        this.rows = rows;
        this.bias = bias;
        this.add = add;
        this.y = y;
        workers.run(this, (rows + PIECE_ROWS - 1) / PIECE_ROWS);
    }

    @Override
    public void run(int piece, int worker) {
        int n = matrix.columns();
        if (decoded[worker].length < (PIECE_ROWS + 1) * n) {
            decoded[worker] = new float[(PIECE_ROWS + 1) * n];
        }
        float[] w = decoded[worker];
        int first = piece * PIECE_ROWS;
        int count = Math.min(PIECE_ROWS, rows - first);
        for (int i = 0; i < count; i++) {
            matrix.decodeRow(firstRow + first + i, w, i * n, PIECE_ROWS * n);
        }
        for (int t = 0; t < tokens; t++) {
            int from = t * n;
            double sum0 = 0;
            double sum1 = 0;
            double sum2 = 0;
            double sum3 = 0;
            for (int i = 0; i < n; i++) {
                double v = x[from + i];
                sum0 += v * w[i];
                sum1 += v * w[n + i];
                sum2 += v * w[2 * n + i];
                sum3 += v * w[3 * n + i];
            }
            put(t, first, sum0);
            if (count > 1) {
                put(t, first + 1, sum1);
            }
            if (count > 2) {
                put(t, first + 2, sum2);
            }
            if (count > 3) {
                put(t, first + 3, sum3);
            }
        }
    }

    private void put(int t, int row, double sum) {
        int at = t * rows + row;
        double offset = add ? y[at] : bias != null ? bias[row] : 0;
        y[at] = (float) (sum + offset);
    }
}
