package io.qwen4j.core.model;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Weight;

/** A gated feed-forward network, {@code x += (silu(h·gateᵀ) ⊙ (h·upᵀ))·downᵀ}, and its activations; T is the most tokens of a step. */
final class FeedForward implements AutoCloseable {
    private final Ops ops;
    /** Gate and up projections, (T, 2F). */
    private final Activation gateUp;
    /** Input of the down projection, (T, F). */
    private final Activation gated;

    FeedForward(Ops ops, int t, int f) {
        this.ops = ops;
        gateUp = ops.activation(t, 2 * f);
        try {
            gated = ops.activation(t, f);
        } catch (Throwable e) {
            gateUp.close();
            throw e;
        }
    }

    static long bytes(int t, int f) {
        return Math.multiplyExact(12L * t, f);
    }

    /**
     * Adds to each token the network's result of its norm.
     *
     * @param h scratch (T, D)
     */
    void computeNormed(Activation x, int t, Weight gain, float epsilon, Activation h, Weight gateUpWeight, Weight down) {
        ops.normLinear(x, t, gain, epsilon, h, gateUpWeight, null, gateUp);
        ops.swiGluLinearAdd(gateUp, t, gated, down, x);
    }

    /**
     * Adds the network's result for each token; h is x after its norm.
     *
     * @param gate the result of token t is multiplied by the sigmoid of gate[t], (T, 1)
     */
    void compute(Activation h, int t, Weight gateUpWeight, Activation gate, Weight down, Activation x) {
        ops.linear(h, t, gateUpWeight, null, gateUp);
        ops.swiGlu(gateUp, t, gated);
        // Before the product, so that its result can be added in place.
        ops.sigmoidGate(gated, t, gate);
        ops.linearAdd(gated, t, down, x);
    }

    @Override
    public void close() {
        gateUp.close();
        gated.close();
    }
}
