package io.qwen4j.core.model;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.Ops;

/** Lets the sparse slices of a batch attend to keys that are chosen within budgets, and the others to all keys. */
public final class ChosenAttention implements LayerAttention, AutoCloseable {
    private final SparseBudgets budgets;
    private final KeyChoice choice;

    /**
     * Makes an attention.
     *
     * @param budgets of all layers, within the context
     * @param mostRuns most runs of a step, see {@link KeyChoice#mostRuns}
     */
    public ChosenAttention(Ops ops, SparseBudgets budgets, int mostRuns) {
        this.budgets = budgets;
        choice = new KeyChoice(ops, mostRuns, budgets.heads(), budgets.mostColumns(), budgets.mostDiagonals());
    }

    /** Bytes that an attention takes. */
    public static long bytes(SparseBudgets budgets, int mostRuns) {
        return KeyChoice.bytes(mostRuns, budgets.heads(), budgets.mostColumns(), budgets.mostDiagonals());
    }

    @Override
    public void begin(Batch batch, AttentionShape shape) {
        choice.begin(batch, shape);
    }

    @Override
    public boolean repeats() {
        return choice.runs() == 0;
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
        if (choice.runs() == 0) {
            ops.attention(qkv, rotations, batch, shape, cache, layer, out);
            return;
        }
        choose(ops, qkv, rotations, batch, shape, cache, layer);
        ops.attention(qkv, rotations, batch, shape, cache, layer, choice, out, null);
    }

    /** The keys chosen last. */
    public KeyChoice choice() {
        return choice;
    }

    /** Chooses the keys of a layer; arguments as in {@link Ops#chooseKeys}. */
    public void choose(Ops ops, Activation qkv, Activation rotations, Batch batch, AttentionShape shape, KvCache cache, int layer) {
        for (int head = 0; head < budgets.heads(); head++) {
            choice.budget(head, budgets.columns(layer, head), budgets.diagonals(layer, head));
        }
        ops.chooseKeys(qkv, rotations, batch, shape, cache, layer, choice);
    }

    /** Frees its memory. Idempotent. */
    @Override
    public void close() {
        choice.close();
    }
}
