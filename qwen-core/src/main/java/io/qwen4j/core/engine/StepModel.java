package io.qwen4j.core.engine;

import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.LogitSelection;
import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/**
 * What the step loop needs of a decoder. Used by the engine thread only, which also closes it; nothing is allocated per step.
 *
 * <p>Shapes: R output rows of the batch, D hidden size, V vocabulary rows.
 */
interface StepModel extends AutoCloseable {
    /** V. */
    int vocabularyRows();

    /** Values in a row of {@link #logits}: V, or the outputs of a reward head. */
    int outputs();

    /** D. */
    int hiddenSize();

    /** The batch to fill. Its capacity bounds a step. */
    Batch batch();

    /** Computes the batch and keeps the final hidden states of its output rows. */
    void forward();

    /** The hidden states behind the last norm, (R, D); the same buffer object at every call. */
    FloatBuffer hidden();

    /** Most rows of one call of {@link #computeLogits(int, int)}. */
    int maxLogitsRows();

    /** Computes the output layer for {@code rows} output rows from {@code first}. */
    void computeLogits(int first, int rows);

    /** The logits of the last {@link #computeLogits(int, int)}, (rows, outputs); the same buffer object at every call. */
    FloatBuffer logits();

    /** What may be asked of the logits instead of looking at them, or null if looking costs no more. */
    default @Nullable LogitSelection selection() {
        return null;
    }

    /** Finds what the selection asks of the logits. */
    default void select() {
        throw new IllegalStateException("there is no selection");
    }

    /** Frees cache, weights and backend. */
    @Override
    void close();
}
