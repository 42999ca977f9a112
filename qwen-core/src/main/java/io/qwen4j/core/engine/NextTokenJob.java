package io.qwen4j.core.engine;

import io.qwen4j.core.sampling.LogProbabilities;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Log-probabilities of candidates after each of several prompts. The prompts follow each other in one sequence: what the next one shares
 * with the last one stays in the cache, and the rest is overwritten there.
 */
final class NextTokenJob extends Job<List<float[]>> {
    private final List<int[]> prompts;
    private final int[] candidates;
    private final LogProbabilities probabilities;
    private final List<float[]> values;

    /** Makes a job of at least one prompt. All of them get the positions of the longest, so that what they share can be shared. */
    NextTokenJob(List<int[]> prompts, int[] candidates, LogProbabilities probabilities) {
        super(Arrays.copyOf(prompts.get(0), prompts.stream().mapToInt(p -> p.length).max().orElseThrow()), prompts.get(0).length);
        this.prompts = prompts;
        this.candidates = candidates;
        this.probabilities = probabilities;
        values = new ArrayList<>(prompts.size());
    }

    @Override
    boolean wantsOutput(int position) {
        return position == length - 1;
    }

    @Override
    void output(int position, FloatBuffer row, int offset, long nanos) {
        values.add(probabilities.of(row, offset, candidates));
    }

    @Override
    void afterStep() {
        if (computed < length || complete()) {
            return;
        }
        int[] next = prompts.get(values.size());
        int shared = Arrays.mismatch(tokens, 0, length, next, 0, next.length);
        System.arraycopy(next, 0, tokens, 0, next.length);
        length = next.length;
        // The last token is computed in any case, as its row is wanted; equal prompts have no mismatch.
        computed = Math.min(shared < 0 ? length : shared, length - 1);
    }

    @Override
    boolean complete() {
        return values.size() == prompts.size();
    }

    @Override
    List<float[]> result() {
        return values;
    }
}
