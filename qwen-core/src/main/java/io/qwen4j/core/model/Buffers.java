package io.qwen4j.core.model;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Rotations;
import java.util.ArrayList;
import java.util.List;

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
    /** Gate and up projections, (T, 2F). */
    final Activation gateUp;
    /** Input of the down projection, (T, F). */
    final Activation gated;
    /** Cosines and sines, (T, {@link Rotations#sections} E). */
    final Activation rotations;
    /** Hidden states of the output rows, (T, D). */
    final Activation outputs;
    /** Some of the output rows, (R, D). */
    final Activation window;
    /** Logits, (R, V). */
    final Activation logits;

    private final List<Activation> all = new ArrayList<>();

    Buffers(QwenConfig c, Ops ops, int t, int r, boolean keysCentred) {
        try {
            x = make(ops, t, c.hiddenSize());
            normed = make(ops, t, c.hiddenSize());
            qkv = make(ops, t, (c.heads() + 2 * c.kvHeads()) * c.headSize());
            attended = make(ops, t, c.heads() * c.headSize());
            gateUp = make(ops, t, 2 * c.ffnSize());
            gated = make(ops, t, c.ffnSize());
            rotations = make(ops, t, rotationWidth(c, keysCentred));
            outputs = make(ops, t, c.hiddenSize());
            window = make(ops, r, c.hiddenSize());
            logits = make(ops, r, c.vocabularyRows());
        } catch (Throwable e) {
            close();
            throw e;
        }
    }

    private Activation make(Ops ops, int rows, int columns) {
        Activation made = ops.activation(rows, columns);
        all.add(made);
        return made;
    }

    private static int rotationWidth(QwenConfig c, boolean keysCentred) {
        return Rotations.sections(c.rope().dualChunk() != null, keysCentred) * c.headSize();
    }

    static long bytes(QwenConfig c, int t, int r, boolean keysCentred) {
        long width = 3L * c.hiddenSize() + (2L * c.heads() + 2L * c.kvHeads()) * c.headSize() + rotationWidth(c, keysCentred)
                + 3L * c.ffnSize();
        long head = (long) c.hiddenSize() + c.vocabularyRows();
        return Math.multiplyExact(4, Math.addExact(Math.multiplyExact(width, t), Math.multiplyExact(head, r)));
    }

    @Override
    public void close() {
        for (Activation activation : all) {
            activation.close();
        }
    }
}
