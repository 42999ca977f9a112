package io.qwen4j.core.model;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.FreeList;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Rotations;
import org.jspecify.annotations.Nullable;

/** The activations of a decoder; T is the most tokens of a step, R the most rows of logits. */
final class Buffers implements AutoCloseable {
    /** Residual stream, (T, D). */
    final Activation x;
    /** Input of a block after its norm, (T, D). */
    final Activation normed;
    /** Queries, keys and values, (T, (H + 2K) E). */
    final Activation qkv;
    /** Output of attention, (T, H E). */
    final Activation attended;
    /** Cosines and sines, (T, {@link Rotations#sections} E). */
    final Activation rotations;
    /** Hidden states of the output rows, (T, D). */
    final Activation outputs;
    /** Some of the output rows, (R, D). */
    final Activation window;
    /** Behind the first layer of a reward head, (R, D), or null if there is none. */
    final @Nullable Activation headHidden;
    /** Logits, (R, V), or outputs of a reward head. */
    final Activation logits;

    /** Of the layers without experts, or null if there are none. */
    final @Nullable FeedForward dense;
    /** Of the layers with experts, or null if there are none. */
    final @Nullable ExpertLayer experts;

    private final FreeList all = new FreeList();

    Buffers(QwenConfig c, Ops ops, int t, int r, boolean keysCentred) {
        try {
            x = make(ops, t, c.hiddenSize());
            normed = make(ops, t, c.hiddenSize());
            qkv = make(ops, t, (c.heads() + 2 * c.kvHeads()) * c.headSize());
            attended = make(ops, t, c.heads() * c.headSize());
            rotations = make(ops, t, rotationWidth(c, keysCentred));
            outputs = make(ops, t, c.hiddenSize());
            window = make(ops, r, c.hiddenSize());
            headHidden = c.head() == QwenConfig.Head.LANGUAGE ? null : make(ops, r, c.hiddenSize());
            logits = make(ops, r, c.outputs());
            dense = c.hasDenseLayers() ? all.add(new FeedForward(ops, t, c.ffnSize())) : null;
            experts = c.experts() != null ? all.add(new ExpertLayer(c.experts(), ops, t)) : null;
        } catch (Throwable e) {
            close();
            throw e;
        }
    }

    private Activation make(Ops ops, int rows, int columns) {
        return all.add(ops.activation(rows, columns));
    }

    private static int rotationWidth(QwenConfig c, boolean keysCentred) {
        return Rotations.sections(c.rope().dualChunk() != null, keysCentred) * c.headSize();
    }

    static long bytes(QwenConfig c, int t, int r, boolean keysCentred) {
        long width = 3L * c.hiddenSize() + (2L * c.heads() + 2L * c.kvHeads()) * c.headSize() + rotationWidth(c, keysCentred);
        long head = (c.head() == QwenConfig.Head.LANGUAGE ? 1L : 2L) * c.hiddenSize() + c.outputs();
        long networks = Math.addExact(
                c.hasDenseLayers() ? FeedForward.bytes(t, c.ffnSize()) : 0, c.experts() != null ? ExpertLayer.bytes(c.experts(), t) : 0);
        return Math.addExact(
                networks, Math.multiplyExact(4, Math.addExact(Math.multiplyExact(width, t), Math.multiplyExact(head, r))));
    }

    @Override
    public void close() {
        all.close();
    }
}
