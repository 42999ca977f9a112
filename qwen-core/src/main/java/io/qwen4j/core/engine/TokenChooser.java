package io.qwen4j.core.engine;

import java.nio.FloatBuffer;

/** Chooses the tokens of one sequence, in order. Used by the engine thread; allocates nothing per token. */
@FunctionalInterface
interface TokenChooser {
    /**
     * Chooses the next token, which from then on is part of the sequence.
     *
     * @param logits the row of V values from {@code offset}; may be changed
     * @throws io.qwen4j.NumericException if there is no token to choose
     */
    int choose(FloatBuffer logits, int offset);
}
