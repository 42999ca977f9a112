package io.qwen4j.core.engine;

import io.qwen4j.core.cache.PageTable;
import io.qwen4j.core.ops.LogitSelection;
import java.nio.FloatBuffer;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * Tokens that are computed one after the other, with their pages in the KV cache. The fields belong to the engine thread.
 *
 * <p>Of {@link #length} known tokens {@link #computed} are in the cache. A sequence that gave up its pages has none computed and is
 * computed again from its first token; what it had reported is not reported again.
 *
 * <p>Its positions are plain or stretched by YaRN, all of them alike: cached keys hold their rotation. One that began plain and outgrows
 * what plain positions reach is stretched and computed again.
 */
abstract class Sequence {
    /** Place in the order of arrival; set when the engine takes the sequence. */
    long arrival;
    /** Whether it takes one of the places that {@code queueLimit} counts. */
    final AtomicBoolean counted = new AtomicBoolean();

    int[] tokens;
    int length;
    /** Tokens known from the beginning. */
    final int promptLength;
    /** Tokens up to which positions can be plain. */
    private int plainLength = Integer.MAX_VALUE;
    /** Whether positions are stretched. */
    private boolean stretched;
    /** Tokens of the beginning that attend to chosen keys. */
    private int sparseLength;
    int computed;
    /** Its pages, from its first step on. */
    @Nullable PageTable pages;
    /** Known tokens that it has in the step being built. */
    int planned;
    /** Foreseen tokens that it has in the step being built, behind its last known one. */
    int drafted;

    private volatile boolean stopRequested;
    private boolean begun;
    private boolean ended;

    /**
     * Makes a sequence.
     *
     * @param tokens the known ones
     * @param length number of those that are computed
     */
    Sequence(int[] tokens, int length) {
        this.tokens = tokens;
        promptLength = tokens.length;
        this.length = length;
    }

    /**
     * Sets how positions are counted; before the engine takes it.
     *
     * @param plain tokens up to which positions can be plain
     * @param foreseeable tokens that it will have as far as is known
     */
    final void position(int plain, int foreseeable) {
        plainLength = plain;
        stretched = foreseeable > plain;
    }

    final boolean stretched() {
        return stretched;
    }

    /** Tokens more that it can have with the positions that it has. */
    final int plainRoom() {
        return stretched ? Integer.MAX_VALUE : plainLength - length;
    }

    /** Stretches it. What was computed of it counts no more. */
    final void stretch() {
        stretched = true;
    }

    /** Lets its prompt attend to chosen keys, in whole slices; before the engine takes it. */
    final void prefillSparsely() {
        sparseLength = promptLength;
    }

    /** Tokens of a sparse prompt that are not computed yet. */
    final int sparseRest() {
        return Math.max(0, sparseLength - computed);
    }

    /** Asks the engine to end it. Any thread. */
    final void requestStop() {
        stopRequested = true;
    }

    /** Pages that it holds. */
    final int pageCount() {
        return pages == null ? 0 : pages.count();
    }

    final boolean stopRequested() {
        return stopRequested;
    }

    final boolean ended() {
        return ended;
    }

    /** Called when a step is about to compute it; passes the first time on. */
    final void start() {
        if (!begun) {
            begun = true;
            started(System.nanoTime());
        }
    }

    /** Called once, when the first tokens are about to be computed. */
    void started(long nanos) {}

    /** Whether it waits for a reader and cannot go on now. */
    abstract boolean blocked();

    /** Whether a blocked sequence may go on; laxer than not {@link #blocked()}, so that it does not change with every event. */
    boolean mayResume() {
        return !blocked();
    }

    /** Most tokens that one step may take. */
    int maxSlice() {
        return Integer.MAX_VALUE;
    }

    /** Whether the result of this position is wanted. */
    abstract boolean wantsOutput(int position);

    /** Whether logits are wanted of a wanted position, or only the final hidden state. */
    boolean wantsLogits() {
        return true;
    }

    /**
     * Takes the logits (or the hidden state) after a position.
     *
     * @param row the values from {@code offset}
     * @param nanos time of this step
     */
    abstract void output(int position, FloatBuffer row, int offset, long nanos);

    /**
     * Asks for what {@link #output(int, LogitSelection, int, long)} needs of the logits after a position.
     *
     * @param row that of the selection
     */
    void select(int position, LogitSelection selection, int row) {}

    /**
     * Takes what was selected of the logits after a position.
     *
     * @return whether that was enough; if not, nothing was taken
     */
    boolean output(int position, LogitSelection selection, int row, long nanos) {
        return false;
    }

    /** Called after the outputs of a step. */
    void afterStep() {}

    /** Whether all is done after the outputs of a step. */
    abstract boolean complete();

    /** Reports the end that {@link #complete()} announced. Called once unless {@link #cancelled()} or {@link #failed} was. */
    abstract void completed();

    /** Reports that it was stopped from outside. */
    abstract void cancelled();

    /** Reports that the model was closed. */
    void modelClosed() {
        cancelled();
    }

    /** Reports an error. */
    abstract void failed(Throwable error);

    /** Whether its only known token of this step is one that it chose itself. */
    boolean decoding() {
        return false;
    }

    /**
     * Foresees tokens and writes them behind the known ones. Called when the step has all it needs; nothing may depend on it.
     *
     * @param most tokens that there is room for
     * @param sequences sequences of the step
     * @return tokens to compute ahead, at most {@code most}
     */
    int draft(int most, int sequences) {
        return 0;
    }

    final void markEnded() {
        ended = true;
    }
}
