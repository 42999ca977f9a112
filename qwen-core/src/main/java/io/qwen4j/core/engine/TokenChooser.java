package io.qwen4j.core.engine;

import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.sampling.Sampler;
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

    /**
     * Asks for what {@link #choose(LogitSelection, int)} needs of a row.
     *
     * @param foreseen tokens that will have been chosen by then: from {@code from} until {@code to}
     * @return whether it was asked; if not, the row itself is needed
     */
    default boolean select(LogitSelection selection, int row, int[] foreseen, int from, int to) {
        return false;
    }

    /** As {@link #choose(FloatBuffer, int)}; returns {@link Sampler#NEEDS_ROW} if the row itself is needed. */
    default int choose(LogitSelection selection, int row) {
        return Sampler.NEEDS_ROW;
    }
}
