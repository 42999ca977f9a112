package io.qwen4j.core.engine;

import io.qwen4j.FinishReason;
import io.qwen4j.core.sampling.LogProbabilities;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/** The engine's side of an answer: prompt, chosen tokens, and when to stop. */
final class GenerationSequence extends Sequence {
    private final int promptLength;
    private final int maxLength;
    private final BitSet endTokens;
    private final TokenChooser chooser;
    private final @Nullable LogProbabilities probabilities;
    private final int alternatives;
    private final Answer answer;
    private @Nullable FinishReason reason;

    /**
     * Makes a sequence.
     *
     * @param prompt token ids, at least one
     * @param maxLength tokens of prompt and answer at which the answer ends; above the prompt's length
     * @param endTokens ids that end the answer
     * @param probabilities the engine's, or null if none are asked for
     * @param alternatives number of most probable tokens to report
     */
    GenerationSequence(
            int[] prompt,
            int maxLength,
            BitSet endTokens,
            TokenChooser chooser,
            @Nullable LogProbabilities probabilities,
            int alternatives,
            Answer answer) {
        super(prompt, prompt.length);
        this.promptLength = prompt.length;
        this.maxLength = maxLength;
        this.endTokens = endTokens;
        this.chooser = chooser;
        this.probabilities = probabilities;
        this.alternatives = alternatives;
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
        return position == length - 1;
    }

    @Override
    void output(int position, FloatBuffer row, int offset, long nanos) {
        int id = chooser.choose(row, offset);
        tokens[length++] = id;
        // Allocates, but only where somebody asked to look.
        answer.write(id, nanos, probabilities == null ? null : probabilities.of(row, offset, id, alternatives));
        if (endTokens.get(id)) {
            reason = FinishReason.STOP;
        } else if (length == maxLength) {
            reason = FinishReason.LENGTH;
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
