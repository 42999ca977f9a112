package io.qwen4j.core.ops;

/**
 * The sections of a row of rotations. Each has for its token the cosines of E/2 angles, then their sines. Plain attention has the first
 * section only. Where keys are centred, one more follows: the mean of {@link #KEY} over the positions of the token's page, filled for the
 * first token of a page only.
 */
public final class Rotations {
    /** Keys; in plain attention queries, too. */
    public static final int KEY = 0;
    /** Queries of dual chunk attention, for keys of the same chunk. */
    public static final int SAME_CHUNK = 1;
    /** Queries of dual chunk attention, for keys of the chunk before; used from the second chunk on. */
    public static final int CHUNK_BEFORE = 2;
    /** Queries of dual chunk attention, for keys of all older chunks; used from the third chunk on. */
    public static final int OLDER_CHUNKS = 3;
    /**
     * The last queries of a run, when keys are chosen, for keys of the chunk before: without the cap on their distance. Positions go on from
     * chunk to chunk, so that diagonals do.
     */
    public static final int UNCAPPED_CHUNK_BEFORE = 4;
    /** As {@link #UNCAPPED_CHUNK_BEFORE}, for keys of all older chunks. */
    public static final int UNCAPPED_OLDER_CHUNKS = 5;
    /** Number of sections of dual chunk attention. */
    public static final int SECTIONS = 6;

    private Rotations() {}

    /** Number of sections of a row. */
    public static int sections(boolean dualChunk, boolean keysCentred) {
        return (dualChunk ? SECTIONS : 1) + (keysCentred ? 1 : 0);
    }

    /** Rotates a head, {@code to[i], to[i + E/2] = a cos - b sin, b cos + a sin}, in f64, rounded once. */
    static void rotate(float[] from, int fromAt, float[] rotations, int rotationAt, int size, float[] to, int toAt) {
        int half = size / 2;
        for (int i = 0; i < half; i++) {
            double a = from[fromAt + i];
            double b = from[fromAt + half + i];
            double cos = rotations[rotationAt + i];
            double sin = rotations[rotationAt + half + i];
            to[toAt + i] = (float) (a * cos - b * sin);
            to[toAt + half + i] = (float) (b * cos + a * sin);
        }
    }
}
