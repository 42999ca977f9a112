package io.qwen4j.core.model;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.Ops;

/** How a decoder attends in each layer: with all keys, with chosen ones, or watched. Used by the engine thread. */
public interface LayerAttention {
    /** All tokens attend to all keys. */
    LayerAttention DENSE = new LayerAttention() {
        @Override
        public boolean repeats() {
            return true;
        }

        @Override
        public void attend(
                Ops ops,
                Activation qkv,
                Activation rotations,
                Batch batch,
                AttentionShape shape,
                KvCache cache,
                int layer,
                Activation out) {
            ops.attention(qkv, rotations, batch, shape, cache, layer, out);
        }
    };

    /** Called once before the layers of a step. */
    default void begin(Batch batch, AttentionShape shape) {}

    /** Whether all layers of the step that was begun attend with all keys and nothing else, so that {@link Ops#repeat} may record them. */
    default boolean repeats() {
        return false;
    }

    /** Computes {@link Ops#attention} of a layer; arguments as there. */
    void attend(
            Ops ops,
            Activation qkv,
            Activation rotations,
            Batch batch,
            AttentionShape shape,
            KvCache cache,
            int layer,
            Activation out);
}
