package io.qwen4j.core.model;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.FreeList;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Routing;

/**
 * The feed-forward network of a layer with experts, and its activations: {@code x += Σ_e w_e · swiglu_e(h) + sigmoid(h · ws) · swiglu_shared(h)}
 * over the experts e that the router chose. T is the most tokens of a step.
 */
final class ExpertLayer implements AutoCloseable {
    private final Ops ops;
    private final Routing routing;
    private final FeedForward shared;
    /** The router's, (T, experts). */
    private final Activation scores;
    /** Gate and up projections of the routed experts, (T used, 2F). */
    private final Activation gateUp;
    /** Input of their down projections, (T used, F). */
    private final Activation gated;
    /** What the shared expert is multiplied with, before the sigmoid, (T, 1). */
    private final Activation sharedWeight;

    private final FreeList all = new FreeList();

    ExpertLayer(QwenConfig.Experts c, Ops ops, int t) {
        this.ops = ops;
        try {
            routing = all.add(new Routing(ops, t, c.count(), c.used(), c.normalized()));
            shared = all.add(new FeedForward(ops, t, c.sharedFfnSize()));
            scores = all.add(ops.activation(t, c.count()));
            gateUp = all.add(ops.activation(Math.multiplyExact(t, c.used()), 2 * c.ffnSize()));
            gated = all.add(ops.activation(t * c.used(), c.ffnSize()));
            sharedWeight = all.add(ops.activation(t, 1));
        } catch (Throwable e) {
            close();
            throw e;
        }
    }

    static long bytes(QwenConfig.Experts c, int t) {
        return Math.addExact(
                Math.addExact(Routing.bytes(t, c.count(), c.used()), FeedForward.bytes(t, c.sharedFfnSize())),
                Math.multiplyExact(4L * t, c.count() + 1 + 3L * c.used() * c.ffnSize()));
    }

    /** Computes a layer; h is x after its norm. */
    void compute(Activation h, int t, QwenWeights.Layer w, QwenWeights.Experts experts, Activation x) {
        ops.linear(h, t, experts.router(), null, scores);
        ops.route(scores, t, routing);
        ops.expertLinear(h, routing, experts.gateUp(), gateUp);
        ops.swiGlu(gateUp, routing.pairs(), gated);
        ops.expertLinearAdd(gated, routing, experts.down(), x);
        ops.linear(h, t, experts.sharedWeight(), null, sharedWeight);
        shared.compute(h, t, w.gateUp(), sharedWeight, w.down(), x);
    }

    @Override
    public void close() {
        all.close();
    }
}
