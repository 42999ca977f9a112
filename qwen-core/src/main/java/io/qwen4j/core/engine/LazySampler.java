package io.qwen4j.core.engine;

import io.qwen4j.SamplingOptions;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.sampling.Sampler;
import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/**
 * A sampler that is made when the first token is chosen: it takes up to 5 MB for a vocabulary of 152,000, too much for requests that
 * wait.
 */
final class LazySampler implements TokenChooser {
    private final SamplingOptions options;
    private final int rows;
    private final int sampleable;
    private int @Nullable [] prompt;
    private @Nullable Sampler sampler;

    /**
     * Notes what the sampler will need.
     *
     * @param rows V
     * @param sampleable rows that have a token
     */
    LazySampler(SamplingOptions options, int rows, int sampleable, int[] prompt) {
        this.options = options;
        this.rows = rows;
        this.sampleable = sampleable;
        this.prompt = prompt;
    }

    @Override
    public int choose(FloatBuffer logits, int offset) {
        return sampler().sample(logits, offset);
    }

    @Override
    public boolean select(LogitSelection selection, int row, int[] foreseen, int from, int to) {
        return sampler().select(selection, row, foreseen, from, to);
    }

    @Override
    public int choose(LogitSelection selection, int row) {
        return sampler().sample(selection, row);
    }

    private Sampler sampler() {
        Sampler ready = sampler;
        if (ready == null) {
            ready = new Sampler(options, rows, sampleable, prompt == null ? new int[0] : prompt);
            sampler = ready;
            prompt = null;
        }
        return ready;
    }
}
