package io.qwen4j;

/**
 * How a model's positions are extended by Dual Chunk Attention (An et al., 2402.17463), so that it can be used at a multiple of its
 * training length without training: a text is cut into chunks, and no query sees a key farther away than {@code chunkSize}, however long the
 * text is. Where {@code localSize} is less than half of it, nothing changes up to {@code chunkSize} tokens. Alone, or together with
 * {@link Yarn}.
 *
 * <p>Attention costs about as much as without; what it reads of the cache stays all of the text. Immutable.
 *
 * @param chunkSize S, the largest distance between a query and a key in tokens, 2 to 2^30 and at most what the model was trained for; 0
 *     switches dual chunks off, whatever the files say
 * @param localSize W, 0 to {@code chunkSize - 1}: chunks have {@code S - W} tokens, and at least the W tokens before a query are seen at their
 *     true distance
 * @param originalContextLength tokens up to which logits of attention stay as they are; beyond, in a text of n tokens, they are multiplied
 *     by {@code (0.1 ln(n / originalContextLength) + 1)²}, as the 1M models have it. 0 for no such scaling
 */
public record DualChunk(int chunkSize, int localSize, int originalContextLength) {
    /** No dual chunks, whatever the files say. */
    public static final DualChunk OFF = new DualChunk(0, 0, 0);

    private static final int MOST = 1 << 30;
    /** Lengths from which sizes are whole pages of the KV cache, which have 32 tokens. */
    private static final int ROUNDED_FROM = 512;

    /** Checks the ranges. */
    public DualChunk {
        if (chunkSize != 0) {
            Checks.range("chunkSize", chunkSize, 2, MOST);
        }
        Checks.range("localSize", localSize, 0, Math.max(0, chunkSize - 1));
        Checks.range("originalContextLength", originalContextLength, 0, Integer.MAX_VALUE);
    }

    /**
     * Chunks for a training length L, as the authors of the method take them: S = 3/4 L and W = L/16, from 512 tokens on rounded down to
     * multiples of 32, without scaling. For 32,768 tokens S is 24,576 and W is 2,048.
     *
     * @param tokens the training length, 16 to 2^30
     * @return the setting
     */
    public static DualChunk forTrainingLength(int tokens) {
        Checks.range("training length", tokens, 16, MOST);
        int unit = tokens < ROUNDED_FROM ? 1 : 32;
        return new DualChunk((int) (3L * tokens / 4) / unit * unit, tokens / 16 / unit * unit, 0);
    }
}
