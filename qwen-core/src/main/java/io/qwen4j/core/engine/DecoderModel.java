package io.qwen4j.core.engine;

import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenDecoder;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.FreeList;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import java.nio.FloatBuffer;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** The decoder as the step loop sees it. Owns all memory of the model. */
final class DecoderModel implements StepModel {
    private final QwenConfig config;
    private final QwenDecoder decoder;
    private final Batch batch;
    private final Ops ops;
    private final @Nullable LogitSelection selection;
    private final FreeList owned;
    private @Nullable Activation hidden;
    private @Nullable Activation logits;

    /**
     * Makes a model.
     *
     * @param selection what may be asked of the logits, or null if they are looked at
     * @param owned decoder, batch, cache, weights, selection and backend, freed with this model
     */
    DecoderModel(
            QwenConfig config, QwenDecoder decoder, Batch batch, Ops ops, @Nullable LogitSelection selection, FreeList owned) {
        this.config = config;
        this.decoder = decoder;
        this.batch = batch;
        this.ops = ops;
        this.selection = selection;
        this.owned = owned;
    }

    @Override
    public int vocabularyRows() {
        return config.vocabularyRows();
    }

    @Override
    public int outputs() {
        return config.outputs();
    }

    @Override
    public int hiddenSize() {
        return config.hiddenSize();
    }

    @Override
    public Batch batch() {
        return batch;
    }

    @Override
    public void forward() {
        hidden = decoder.hidden(batch);
    }

    @Override
    public FloatBuffer hidden() {
        // Looked at by few requests: where it is on a device, the others do not wait for it.
        return hidden == null ? FloatBuffer.allocate(0) : hidden.buffer();
    }

    @Override
    public int maxLogitsRows() {
        return decoder.maxOutputs();
    }

    @Override
    public void computeLogits(int first, int rows) {
        logits = decoder.logits(first, rows);
    }

    @Override
    public FloatBuffer logits() {
        return logits == null ? FloatBuffer.allocate(0) : logits.buffer();
    }

    @Override
    public @Nullable LogitSelection selection() {
        return selection;
    }

    @Override
    public void select() {
        ops.selectLogits(Objects.requireNonNull(logits), Objects.requireNonNull(selection));
    }

    @Override
    public void close() {
        owned.close();
    }
}
