package io.qwen4j.core.engine;

/**
 * Foresees tokens without a model: where the last tokens of a sequence occurred before, in its prompt or its answer, what followed them
 * then is likely to follow again. A quotation, a corrected text or edited code is mostly foreseen this way.
 */
final class PromptLookup {
    /** Tokens that must have occurred in the same order. One alone foresees too little, more than three are found too rarely. */
    static final int MOST = 3;

    static final int LEAST = 2;

    private PromptLookup() {}

    /**
     * Looks for the last {@value #MOST} tokens, and where those never occurred before for the last {@value #LEAST}; of several places the
     * latest counts. A scan of 32,768 tokens takes some 15 microseconds, a step of the smallest model 5 milliseconds: no index is kept.
     *
     * @param length tokens of the sequence
     * @return index of the token that followed; -1 if there is none
     */
    static int find(int[] tokens, int length) {
        int fallback = -1;
        if (length <= LEAST) {
            return fallback;
        }
        int last = tokens[length - 1];
        int second = tokens[length - 2];
        int third = length > MOST ? tokens[length - MOST] : -1;
        for (int i = length - 2; i >= LEAST - 1; i--) {
            if (tokens[i] == last && tokens[i - 1] == second) {
                if (i >= MOST - 1 && tokens[i - 2] == third) {
                    return i + 1;
                }
                if (fallback < 0) {
                    fallback = i + 1;
                }
            }
        }
        return fallback;
    }

    /**
     * Writes the tokens foreseen behind a sequence. A repetition that reaches its own end goes round.
     *
     * @param tokens has room for {@code length + count}
     * @param from what {@link #find} returned
     */
    static void copy(int[] tokens, int from, int length, int count) {
        for (int i = 0; i < count; i++) {
            tokens[length + i] = tokens[from + i];
        }
    }
}
