package io.qwen4j.core.model;

import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Weight;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The weights of a decoder, taken by a backend. Immutable; owns the backend's memory until it is closed. */
public final class QwenWeights implements AutoCloseable {
    private final Weight embedding;
    private final List<Layer> layers;
    private final Weight finalNorm;
    private final Head head;
    private final List<Weight> all;

    /**
     * A layer.
     *
     * @param attentionNorm (1, D)
     * @param qkv all query heads, key heads and value heads, ((H + 2K) E, D)
     * @param qkvBias (1, (H + 2K) E)
     * @param output (D, H E)
     * @param mlpNorm (1, D)
     * @param gateUp gate, then up, (2F, D), of the dense network or of the shared expert
     * @param down (D, F), of the same
     * @param experts the routed experts, or null in a dense layer
     */
    public record Layer(
            Weight attentionNorm,
            Weight qkv,
            Weight qkvBias,
            Weight output,
            Weight mlpNorm,
            Weight gateUp,
            Weight down,
            @Nullable Experts experts) {}

    /**
     * The routed experts of a layer.
     *
     * @param router (experts, D)
     * @param sharedWeight (1, D)
     * @param gateUp gate, then up of each expert, (experts 2F, D)
     * @param down of each expert, (experts D, F)
     */
    public record Experts(Weight router, Weight sharedWeight, Weight gateUp, Weight down) {}

    /**
     * What is computed of the last hidden states.
     *
     * @param hidden the layer before the output layer, followed by ReLU; null in a language model
     * @param output (V, D), the embedding itself where it is tied; (outputs, D) in a reward model
     * @param bias (1, outputs), or null in a language model
     */
    public record Head(@Nullable HiddenLayer hidden, Weight output, @Nullable Weight bias) {}

    /**
     * The first layer of a reward head.
     *
     * @param weight (D, D)
     * @param bias (1, D)
     */
    public record HiddenLayer(Weight weight, Weight bias) {}

    QwenWeights(Weight embedding, List<Layer> layers, Weight finalNorm, Head head, List<Weight> all) {
        this.embedding = embedding;
        this.layers = List.copyOf(layers);
        this.finalNorm = finalNorm;
        this.head = head;
        this.all = List.copyOf(all);
    }

    /**
     * Reads all weights into a backend. If that fails, whatever was taken is freed. The memory is to be checked before, with
     * {@link MemoryNeeds}.
     *
     * @param quantization type to which matrices are converted, or null to keep the file's
     * @param checkValues whether to search for NaN and infinity first
     * @param listener hears of the stage {@code load}, in bytes
     */
    public static QwenWeights load(
            Checkpoint checkpoint, Ops ops, @Nullable WeightType quantization, boolean checkValues, ProgressListener listener) {
        return new WeightLoader(checkpoint, ops, quantization).load(checkValues, listener);
    }

    /** Memory that {@link #load} will take in the backend, in bytes. */
    public static long bytesNeeded(Checkpoint checkpoint, Ops ops, @Nullable WeightType quantization) {
        return new WeightLoader(checkpoint, ops, quantization).bytesNeeded();
    }

    /** (V, D). */
    public Weight embedding() {
        return embedding;
    }

    /** Layer i. */
    public Layer layer(int i) {
        return layers.get(i);
    }

    /** (1, D). */
    public Weight finalNorm() {
        return finalNorm;
    }

    /** The head. */
    public Head head() {
        return head;
    }

    /** Memory taken, in bytes. */
    public long bytes() {
        return all.stream().mapToLong(Weight::bytes).sum();
    }

    /** Frees all. Idempotent; never while a decoder uses it. */
    @Override
    public void close() {
        all.forEach(Weight::close);
    }
}
