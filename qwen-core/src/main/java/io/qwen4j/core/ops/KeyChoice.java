package io.qwen4j.core.ops;

import java.nio.IntBuffer;

/**
 * Which keys the query heads of sparse slices attend to: columns (single keys that all queries see) and diagonals (distances), the
 * "vertical-slash" pattern of MInference (Jiang et al., 2407.02490) in the form of the Qwen2.5-1M report. Chosen by
 * {@link Ops#chooseKeys}, used by {@link Ops#attention}. Backends see the same array of integers.
 *
 * <p>A slice is cut into runs at the borders of chunks. Keys are chosen for each run and head by its last {@value #LAST_QUERIES} queries.
 * The tokens of a run are taken in blocks of {@value #BLOCK_TOKENS}; a block attends to whole panels of {@value #PANEL_KEYS} keys that one of
 * its diagonals touches, and to the chosen columns before its first token.
 *
 * <pre>
 * [0] runs   [1] H   [2] most columns   [3] most diagonals
 * [4] place of runs, each {sequence, first token of the slice, end token of the slice}
 * [5] place of budgets [H][2]: columns, diagonals
 * [6] place of choices [runs][H][2 + most columns + most diagonals]: number of columns, or -1 for all keys; number of diagonals;
 *     positions of the columns, ascending; distances of the diagonals, ascending
 * </pre>
 *
 * Not thread-safe: the engine thread owns it.
 */
public final class KeyChoice implements AutoCloseable {
    /** Queries that choose. */
    public static final int LAST_QUERIES = 64;
    /** Tokens that attend to the same keys. */
    public static final int BLOCK_TOKENS = 64;
    /** Keys that are taken together, at positions from a multiple of this number. */
    public static final int PANEL_KEYS = 16;
    /** The first keys are always chosen: they take much of the weight (attention sinks). */
    public static final int FIRST_COLUMNS = 30;
    /** The nearest distances are always chosen, so every block sees its own tokens. */
    public static final int NEAR_DIAGONALS = 100;
    /** A run that ends before this position attends to all keys. */
    public static final int SHORTEST = 256;

    private static final int HEADER = 8;

    private final Ints memory;
    private final IntBuffer ints;
    private final int mostRuns;
    private final int heads;
    private final int mostColumns;
    private final int mostDiagonals;
    private final int runsAt;
    private final int budgetsAt;
    private final int choicesAt;
    private int runs;

    /**
     * Makes a choice without runs.
     *
     * @param mostRuns most runs of a step
     * @param heads H
     * @param mostColumns largest budget of columns
     * @param mostDiagonals largest budget of diagonals
     */
    public KeyChoice(Ops ops, int mostRuns, int heads, int mostColumns, int mostDiagonals) {
        this.mostRuns = mostRuns;
        this.heads = heads;
        this.mostColumns = mostColumns;
        this.mostDiagonals = mostDiagonals;
        runsAt = HEADER;
        budgetsAt = runsAt + 3 * mostRuns;
        choicesAt = budgetsAt + 2 * heads;
        memory = ops.ints(Math.addExact(choicesAt, ints(mostRuns, heads, mostColumns, mostDiagonals)));
        ints = memory.buffer();
        ints.put(1, heads).put(2, mostColumns).put(3, mostDiagonals).put(4, runsAt).put(5, budgetsAt).put(6, choicesAt);
    }

    private static int ints(int runs, int heads, int columns, int diagonals) {
        return Math.multiplyExact(Math.multiplyExact(runs, heads), Math.addExact(2, Math.addExact(columns, diagonals)));
    }

    /** Most runs of a step of some tokens, one sparse slice of a sequence each: slices are cut where chunks begin. */
    public static int mostRuns(int tokens, int sequences, int chunkLength) {
        // Of n tokens in a row at most n / chunkLength, rounded up, begin a chunk.
        return chunkLength == 0 ? sequences : 2 * sequences + tokens / chunkLength;
    }

    /** Bytes that a choice takes. */
    public static long bytes(int mostRuns, int heads, int mostColumns, int mostDiagonals) {
        return 4L * (HEADER + 3L * mostRuns + 2L * heads + (long) mostRuns * heads * (2L + mostColumns + mostDiagonals));
    }

    /** Cuts the sparse slices of a batch into runs. */
    public void begin(Batch batch, AttentionShape shape) {
        runs = 0;
        for (int b = 0; b < batch.sequences(); b++) {
            if (!batch.sparse(b)) {
                continue;
            }
            int count = batch.start(b + 1) - batch.start(b);
            int begin = 0;
            while (begin < count) {
                int end = count;
                if (shape.chunkLength() > 0) {
                    end = Math.min(count, begin + shape.chunkLength() - (batch.cached(b) + begin) % shape.chunkLength());
                }
                if (runs == mostRuns) {
                    throw new IllegalStateException("a choice holds " + mostRuns + " runs");
                }
                int at = runsAt + 3 * runs++;
                ints.put(at, b).put(at + 1, begin).put(at + 2, end);
                begin = end;
            }
        }
        ints.put(0, runs);
    }

    /**
     * Sets how many keys a head may choose.
     *
     * @param columns at least {@link #FIRST_COLUMNS}
     * @param diagonals at least {@link #NEAR_DIAGONALS}
     */
    public void budget(int head, int columns, int diagonals) {
        if (columns < FIRST_COLUMNS || columns > mostColumns || diagonals < NEAR_DIAGONALS || diagonals > mostDiagonals) {
            throw new IllegalArgumentException("a budget of " + columns + " columns and " + diagonals + " diagonals, expected "
                    + FIRST_COLUMNS + " to " + mostColumns + " and " + NEAR_DIAGONALS + " to " + mostDiagonals);
        }
        ints.put(budgetsAt + 2 * head, columns).put(budgetsAt + 2 * head + 1, diagonals);
    }

    /** Columns that a head may choose. */
    public int columnBudget(int head) {
        return ints.get(budgetsAt + 2 * head);
    }

    /** Diagonals that a head may choose. */
    public int diagonalBudget(int head) {
        return ints.get(budgetsAt + 2 * head + 1);
    }

    /** Number of runs. */
    public int runs() {
        return runs;
    }

    /** H. */
    public int heads() {
        return heads;
    }

    /** Sequence of a run, by its place in the batch. */
    public int sequence(int run) {
        return ints.get(runsAt + 3 * run);
    }

    /** First token of a run, counted from the beginning of its slice. */
    public int begin(int run) {
        return ints.get(runsAt + 3 * run + 1);
    }

    /** Token behind the last one of a run, counted from the beginning of its slice. */
    public int end(int run) {
        return ints.get(runsAt + 3 * run + 2);
    }

    private int choice(int run, int head) {
        return choicesAt + (run * heads + head) * (2 + mostColumns + mostDiagonals);
    }

    /** Whether a head attends to all keys. */
    public boolean all(int run, int head) {
        return ints.get(choice(run, head)) < 0;
    }

    /** Number of columns chosen; there are none where {@link #all} holds. */
    public int columns(int run, int head) {
        return Math.max(0, ints.get(choice(run, head)));
    }

    /** Position of column i. */
    public int column(int run, int head, int i) {
        return ints.get(choice(run, head) + 2 + i);
    }

    /** Number of diagonals chosen. */
    public int diagonals(int run, int head) {
        return ints.get(choice(run, head) + 1);
    }

    /** Distance of diagonal i. */
    public int diagonal(int run, int head, int i) {
        return ints.get(choice(run, head) + 2 + mostColumns + i);
    }

    /** Lets a head attend to all keys. */
    public void chooseAll(int run, int head) {
        ints.put(choice(run, head), -1).put(choice(run, head) + 1, 0);
    }

    /**
     * Sets the keys of a head.
     *
     * @param columns positions, ascending
     * @param diagonals distances, ascending
     */
    public void choose(int run, int head, int[] columns, int[] diagonals) {
        int at = choice(run, head);
        ints.put(at, columns.length).put(at + 1, diagonals.length);
        ints.put(at + 2, columns).put(at + 2 + mostColumns, diagonals);
    }

    /** The array of integers described above. */
    public Ints memory() {
        return memory;
    }

    @Override
    public void close() {
        memory.close();
    }
}
