package io.qwen4j.core.engine;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.DeviceLostException;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.LoadOptions;
import io.qwen4j.ProgressListener;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.model.LayerAttention;
import io.qwen4j.core.model.MemoryNeeds;
import io.qwen4j.core.model.QwenDecoder;
import io.qwen4j.core.model.QwenWeights;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.FreeList;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A decoder and all that it computes with, in memory of one backend.
 *
 * @param ops the backend, another than the one that was chosen if that had no room and the choice was free
 * @param plan what fitted
 * @param selection where the backend selects logits, if the model wants that
 * @param <A> how its tokens attend
 */
record Placement<A extends LayerAttention>(
        Ops ops,
        ContextPlan plan,
        QwenWeights weights,
        QwenDecoder decoder,
        Batch batch,
        A attention,
        @Nullable LogitSelection selection) {
    private static final Logger LOG = LoggerFactory.getLogger(Placement.class);
    // Each but the first gives up at least a quarter of cache and activations, which leaves less than half of them.
    private static final int MOST_TRIES = 4;

    /**
     * A model to be placed.
     *
     * @param reach what it was made for
     * @param sparse budgets of sparse prefill, or null if there is none
     * @param nameableRows tells the rows of the vocabulary that have a name, asked last; or null if no logits are selected
     * @param progress hears of the weights
     */
    record Model(
            Checkpoint checkpoint,
            LongContext reach,
            LoadOptions options,
            @Nullable SparseBudgets sparse,
            @Nullable IntSupplier nameableRows,
            ProgressListener progress) {}

    /** Makes an attention, and adds what it takes to {@code owned}. */
    interface AttentionMaker<A extends LayerAttention> {
        A make(Ops ops, ContextPlan plan, FreeList owned);
    }

    /**
     * Takes the memory of a model, all of it or none.
     *
     * @param chosen the backend; closed if another one is taken
     * @param owned frees what is taken
     * @throws InsufficientMemoryException if it does not fit
     * @throws BackendUnavailableException if the backend has no kernels for the model
     */
    static <A extends LayerAttention> Placement<A> of(Model model, Ops chosen, AttentionMaker<A> maker, FreeList owned) {
        try {
            return on(chosen, model, maker, owned);
        } catch (InsufficientMemoryException | BackendUnavailableException | DeviceLostException e) {
            Ops host = owned.add(Backends.openOnHost(Settings.of(model.options), chosen, e));
            return on(host, model, maker, owned);
        }
    }

    private static <A extends LayerAttention> Placement<A> on(Ops ops, Model model, AttentionMaker<A> maker, FreeList owned) {
        MemoryFit fit = new MemoryFit(model.checkpoint, model.reach, ops, model.options, model.sparse);
        ContextPlan plan = fit.plan(MemoryNeeds.availableBytes(ops));
        FreeList taken = new FreeList();
        QwenWeights weights = null;
        try {
            for (int tries = 1; ; tries++) {
                FreeList rest = new FreeList();
                try {
                    if (weights == null) {
                        weights = taken.add(QwenWeights.load(
                                model.checkpoint, ops, model.options.quantization(), model.options.checkValues(), model.progress));
                    }
                    Placement<A> placement = with(ops, plan, weights, model, maker, rest);
                    owned.add(taken);
                    owned.add(rest);
                    return placement;
                } catch (InsufficientMemoryException e) {
                    free(rest, e);
                    if (ops.hostMemory() || tries == MOST_TRIES) {
                        throw e;
                    }
                    plan = smaller(fit, plan, ops, weights, e);
                } catch (Throwable e) {
                    free(rest, e);
                    throw e;
                }
            }
        } catch (Throwable e) {
            free(taken, e);
            throw e;
        }
    }

    private static <A extends LayerAttention> Placement<A> with(
            Ops ops, ContextPlan plan, QwenWeights weights, Model model, AttentionMaker<A> maker, FreeList owned) {
        KvCache cache = owned.add(ops.kvCache(plan.layout()));
        A attention = maker.make(ops, plan, owned);
        QwenDecoder decoder = owned.add(new QwenDecoder(
                model.reach.config(), weights, ops, plan.maxTokens(), plan.maxLogitsRows(), cache, attention));
        Batch batch = owned.add(new Batch(
                ops, plan.maxTokens(), model.options.maxConcurrent(), plan.pagesOfSequence(), KvPages.PAGE_TOKENS));
        LogitSelection selection = model.nameableRows == null || !ops.selectsLogits()
                ? null
                : owned.add(new LogitSelection(
                        ops, plan.maxLogitsRows(), plan.mostApart(), model.reach.config().vocabularyRows(), model.nameableRows.getAsInt()));
        return new Placement<>(ops, plan, weights, decoder, batch, attention, selection);
    }

    /** A plan for less, where memory that was there when it was planned could not be had. */
    private static ContextPlan smaller(
            MemoryFit fit, ContextPlan plan, Ops ops, @Nullable QwenWeights weights, InsufficientMemoryException cause) {
        MemoryNeeds needs = fit.needs(plan, -1);
        long missing = cause.availableBytes() < 0 ? 0 : Math.max(0, cause.requiredBytes() - cause.availableBytes());
        long given = Math.max(missing, (needs.activationBytes() + needs.cacheBytes()) / 4);
        long left = ops.availableBytes() + (weights == null ? 0 : weights.bytes());
        long budget = Math.min(left, needs.totalBytes() - given);
        LOG.warn("{}: {} bytes are asked, {} are free, though {} bytes in all fitted when they were planned: planning again within {}",
                ops.description(), cause.requiredBytes(), cause.availableBytes(), needs.totalBytes(), budget);
        try {
            return fit.plan(budget);
        } catch (InsufficientMemoryException e) {
            e.initCause(cause);
            throw e;
        }
    }

    private static void free(FreeList owned, Throwable cause) {
        try {
            owned.close();
        } catch (RuntimeException e) {
            cause.addSuppressed(e);
        }
    }
}
