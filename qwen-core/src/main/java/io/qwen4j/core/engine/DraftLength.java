package io.qwen4j.core.engine;

/**
 * How many foreseen tokens of a sequence are worth computing ahead, by how many of the last ones came true. A sequence whose foreseen
 * tokens do not come true has none computed, but they are still compared with what comes, so that it is noticed when that changes: watching
 * costs nothing.
 */
final class DraftLength {
    /**
     * The least probability with which a token of the only sequence must come true. With AVX2 the second to fourth token of a step take a
     * tenth of the time of the first, the fifth to eighth a quarter; one that comes true saves a step. A step of several sequences has a
     * token of each, so that saves as much less.
     */
    static final float WORTH = 0.25f;

    // Half of the weight is on the last two or three tokens: texts change from quoting to speaking freely between two sentences.
    private static final float RATE = 0.25f;

    /** Probability that the next foreseen token comes true. A sequence begins with drafts of one. */
    private float right = 0.4f;

    /** Notes whether a foreseen token came true. */
    void learn(boolean cameTrue) {
        right += RATE * ((cameTrue ? 1 : 0) - right);
    }

    /** Tokens worth computing ahead in a step of a number of sequences, from 0 to {@code most}. */
    int best(int most, int sequences) {
        int count = 0;
        for (float all = right; count < most && all >= sequences * WORTH; all *= right) {
            count++;
        }
        return count;
    }
}
