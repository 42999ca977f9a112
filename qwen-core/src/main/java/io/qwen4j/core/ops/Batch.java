package io.qwen4j.core.ops;

import java.nio.IntBuffer;

/**
 * What one step computes: a ragged batch of token slices of several sequences. Filled by the engine, read by every backend from one array
 * of integers, so that nothing is allocated per step.
 *
 * <p>Layout of the array, in integers ({@code batch.h} of the native code mirrors it): a header of {@value #HEADER}, then the sections
 * whose places the header tells.
 *
 * <pre>
 * [0] T tokens    [1] B sequences    [2] R output rows    [3] P page-table stride
 * [4] place of token ids [T]         [5] place of positions [T]          [6] place of slots [T]: page * pageTokens + offset in page
 * [7] place of starts [B + 1]: rows of sequence b are starts[b] .. starts[b + 1] - 1
 * [8] place of cached lengths S [B]: tokens of sequence b in the cache before this step
 * [9] place of page tables [B][P]    [10] place of output rows [R], ascending
 * </pre>
 *
 * Not thread-safe: the engine thread fills it, then the backend reads it.
 */
public final class Batch implements AutoCloseable {
    /** Integers before the first section. */
    public static final int HEADER = 16;

    private final Ints memory;
    private final IntBuffer ints;
    private final int maxTokens;
    private final int maxSequences;
    private final int maxPages;
    private final int pageTokens;
    private final int tokensAt;
    private final int positionsAt;
    private final int slotsAt;
    private final int startsAt;
    private final int cachedAt;
    private final int pagesAt;
    private final int outputsAt;
    private final boolean[] stretched;
    private final int[] promptLengths;
    private final boolean[] sparse;
    private int tokens;
    private int sequences;
    private int outputs;

    /**
     * Makes an empty batch.
     *
     * @param ops the backend that will read it
     * @param maxTokens most tokens of all slices together
     * @param maxSequences most slices
     * @param maxPages most pages of a sequence
     * @param pageTokens tokens in a page
     */
    public Batch(Ops ops, int maxTokens, int maxSequences, int maxPages, int pageTokens) {
        this.maxTokens = maxTokens;
        this.maxSequences = maxSequences;
        this.maxPages = maxPages;
        this.pageTokens = pageTokens;
        stretched = new boolean[maxSequences];
        promptLengths = new int[maxSequences];
        sparse = new boolean[maxSequences];
        tokensAt = HEADER;
        positionsAt = tokensAt + maxTokens;
        slotsAt = positionsAt + maxTokens;
        startsAt = slotsAt + maxTokens;
        cachedAt = startsAt + maxSequences + 1;
        pagesAt = cachedAt + maxSequences;
        outputsAt = Math.addExact(pagesAt, Math.multiplyExact(maxSequences, maxPages));
        memory = ops.ints(Math.addExact(outputsAt, maxTokens));
        ints = memory.buffer();
        clear();
    }

    /** Empties the batch. */
    public void clear() {
        tokens = 0;
        sequences = 0;
        outputs = 0;
        ints.put(3, maxPages);
        ints.put(4, tokensAt);
        ints.put(5, positionsAt);
        ints.put(6, slotsAt);
        ints.put(7, startsAt);
        ints.put(8, cachedAt);
        ints.put(9, pagesAt);
        ints.put(10, outputsAt);
        ints.put(startsAt, 0);
        writeCounts();
    }

    /**
     * Adds the next slice of a sequence, as {@link #beginSequence(int, int[], int, int, boolean)} of a sequence without a prompt
     * whose positions are as the model's configuration has them.
     */
    public void beginSequence(int cached, int[] pageTable, int pageCount) {
        beginSequence(cached, pageTable, pageCount, 0, true);
    }

    /**
     * Adds the next slice of a sequence. Its tokens stand at the positions {@code cached, cached + 1, ...}.
     *
     * @param cached tokens of the sequence already in the cache
     * @param pageTable the sequence's pages, enough for {@code cached + count} tokens
     * @param pageCount entries of {@code pageTable} in use
     * @param promptLength tokens that were known when the sequence began: none of them is scaled for a shorter text than that
     * @param stretch whether the model's YaRN, if it has one, holds for it; the same in all steps of a sequence
     */
    public void beginSequence(int cached, int[] pageTable, int pageCount, int promptLength, boolean stretch) {
        if (sequences == maxSequences || pageCount > maxPages) {
            throw new IllegalStateException("batch holds " + maxSequences + " sequences of " + maxPages + " pages");
        }
        ints.put(cachedAt + sequences, cached);
        int at = pagesAt + sequences * maxPages;
        for (int i = 0; i < pageCount; i++) {
            ints.put(at + i, pageTable[i]);
        }
        promptLengths[sequences] = promptLength;
        stretched[sequences] = stretch;
        sparse[sequences] = false;
        sequences++;
        ints.put(startsAt + sequences, tokens);
        writeCounts();
    }

    /** Lets the slice begun last attend to chosen keys only, see {@link KeyChoice}. */
    public void markSparse() {
        sparse[sequences - 1] = true;
    }

    /**
     * Adds a token to the slice begun last.
     *
     * @param id token id, from 0 and below the vocabulary rows
     * @param output whether logits (or the final hidden state) are wanted after this token
     */
    public void addToken(int id, boolean output) {
        if (tokens == maxTokens || sequences == 0) {
            throw new IllegalStateException("batch holds " + maxTokens + " tokens of " + sequences + " sequences");
        }
        int b = sequences - 1;
        int position = ints.get(cachedAt + b) + tokens - ints.get(startsAt + b);
        int page = ints.get(pagesAt + b * maxPages + position / pageTokens);
        ints.put(tokensAt + tokens, id);
        ints.put(positionsAt + tokens, position);
        ints.put(slotsAt + tokens, page * pageTokens + position % pageTokens);
        if (output) {
            ints.put(outputsAt + outputs, tokens);
            outputs++;
        }
        tokens++;
        ints.put(startsAt + sequences, tokens);
        writeCounts();
    }

    private void writeCounts() {
        ints.put(0, tokens);
        ints.put(1, sequences);
        ints.put(2, outputs);
    }

    /** T. */
    public int tokens() {
        return tokens;
    }

    /** B. */
    public int sequences() {
        return sequences;
    }

    /** R. */
    public int outputs() {
        return outputs;
    }

    /** Most tokens. */
    public int maxTokens() {
        return maxTokens;
    }

    /** Id of token t. */
    public int token(int t) {
        return ints.get(tokensAt + t);
    }

    /** Position of token t in its sequence. */
    public int position(int t) {
        return ints.get(positionsAt + t);
    }

    /** Place of token t in the cache: page * pageTokens + offset in page. */
    public int slot(int t) {
        return ints.get(slotsAt + t);
    }

    /** First row of sequence b; for b = B the number of rows. */
    public int start(int b) {
        return ints.get(startsAt + b);
    }

    /** S: tokens of sequence b in the cache before this step. */
    public int cached(int b) {
        return ints.get(cachedAt + b);
    }

    /** Tokens of sequence b that were known when it began. */
    public int promptLength(int b) {
        return promptLengths[b];
    }

    /** Whether the model's YaRN, if it has one, holds for sequence b. */
    public boolean stretched(int b) {
        return stretched[b];
    }

    /** Whether the slice of sequence b attends to chosen keys only. */
    public boolean sparse(int b) {
        return sparse[b];
    }

    /** Page i of sequence b. */
    public int page(int b, int i) {
        return ints.get(pagesAt + b * maxPages + i);
    }

    /** Row of output r. */
    public int output(int r) {
        return ints.get(outputsAt + r);
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
