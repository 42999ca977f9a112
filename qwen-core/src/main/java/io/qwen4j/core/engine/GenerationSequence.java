package io.qwen4j.core.engine;

import io.qwen4j.FinishReason;
import io.qwen4j.TokenLogProbability;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.sampling.LogProbabilities;
import io.qwen4j.core.sampling.Sampler;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/** The engine's side of an answer: prompt, chosen tokens, and when to stop. */
final class GenerationSequence extends Sequence {
    private final int maxLength;
    private final BitSet endTokens;
    private final TokenChooser chooser;
    private final @Nullable LogProbabilities probabilities;
    private final int alternatives;
    private final Answer answer;
    private final int mostDrafted;
    private final DraftLength draftLength = new DraftLength();
    /** Tokens behind the last known one that are foreseen: the drafted ones and one more. */
    private int foreseen;

    private @Nullable FinishReason reason;

    /**
     * Makes a sequence.
     *
     * @param prompt token ids, at least one
     * @param maxLength tokens of prompt and answer at which the answer ends; above the prompt's length
     * @param endTokens ids that end the answer
     * @param probabilities the engine's, or null if none are asked for
     * @param alternatives number of most probable tokens to report
     * @param mostDrafted most tokens to compute ahead in a step; 0 for none
     */
    GenerationSequence(
            int[] prompt,
            int maxLength,
            BitSet endTokens,
            TokenChooser chooser,
            @Nullable LogProbabilities probabilities,
            int alternatives,
            int mostDrafted,
            Answer answer) {
        super(prompt, prompt.length);
        this.maxLength = maxLength;
        this.endTokens = endTokens;
        this.chooser = chooser;
        this.probabilities = probabilities;
        this.alternatives = alternatives;
        this.mostDrafted = mostDrafted;
        this.answer = answer;
    }

    @Override
    void started(long nanos) {
        // Not at submission: thousands of waiting requests would hold room for answers. Not per token either.
        tokens = Arrays.copyOf(tokens, maxLength);
        answer.started(nanos);
    }

    @Override
    boolean decoding() {
        return length > promptLength && computed == length - 1;
    }

    @Override
    boolean blocked() {
        return answer.full();
    }

    @Override
    boolean mayResume() {
        return answer.hasRoom();
    }

    @Override
    boolean wantsOutput(int position) {
        return position >= length - 1;
    }

    @Override
    int draft(int most, int sequences) {
        // The token chosen last needs no row, and the ring must have room for as many tokens as may come of the step.
        int room = Math.min(Math.min(most, mostDrafted), Math.min(maxLength - length, answer.room()) - 1);
        // What follows the last plain position is chosen, but not computed, before all is stretched.
        room = Math.min(room, plainRoom());
        int from = room > 0 ? PromptLookup.find(tokens, length) : -1;
        if (from < 0) {
            return 0;
        }
        int count = draftLength.best(room, sequences);
        PromptLookup.copy(tokens, from, length, count + 1);
        for (int i = 0; i < count; i++) {
            if (endTokens.get(tokens[length + i])) {
                count = i; // if it comes true nothing follows it
            }
        }
        foreseen = count + 1;
        return count;
    }

    @Override
    void output(int position, FloatBuffer row, int offset, long nanos) {
        if (position >= computed) {
            return; // follows a token that did not come true
        }
        int id = chooser.choose(row, offset);
        // Allocates, but only where somebody asked to look.
        take(id, nanos, probabilities == null ? null : probabilities.of(row, offset, id, alternatives));
    }

    @Override
    void select(int position, LogitSelection selection, int row) {
        // Probabilities are taken of the whole row.
        if (probabilities == null) {
            chooser.select(selection, row, tokens, length, position + 1);
        }
    }

    @Override
    boolean output(int position, LogitSelection selection, int row, long nanos) {
        if (position >= computed) {
            return true;
        }
        int id = chooser.choose(selection, row);
        if (id == Sampler.NEEDS_ROW) {
            return false;
        }
        take(id, nanos, null);
        return true;
    }

    private void take(int id, long nanos, @Nullable TokenLogProbability probability) {
        boolean cameTrue = foreseen > 0 && tokens[length] == id;
        if (foreseen > 0) {
            draftLength.learn(cameTrue);
            foreseen = cameTrue ? foreseen - 1 : 0;
        }
        tokens[length++] = id;
        answer.write(id, nanos, probability);
        if (endTokens.get(id)) {
            reason = FinishReason.STOP;
        } else if (length == maxLength) {
            reason = FinishReason.LENGTH;
        } else if (cameTrue && foreseen > 0) {
            computed++;
        }
    }

    @Override
    boolean complete() {
        return reason != null;
    }

    @Override
    void completed() {
        answer.end(reason == null ? FinishReason.LENGTH : reason, null);
    }

    @Override
    void cancelled() {
        answer.end(FinishReason.CANCELLED, null);
    }

    @Override
    void failed(Throwable error) {
        answer.end(FinishReason.CANCELLED, error);
    }
}
