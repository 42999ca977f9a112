package io.qwen4j.core.engine;

import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.LoadOptions;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.model.ChosenAttention;
import io.qwen4j.core.model.MemoryNeeds;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How long a sequence may be and how much the KV cache holds, so that weights, activations and cache fit in memory together.
 *
 * @param contextLength longest sequence in tokens
 * @param layout the cache
 * @param maxTokens most tokens of a step
 * @param maxLogitsRows most rows of logits at a time
 */
record ContextPlan(int contextLength, KvLayout layout, int maxTokens, int maxLogitsRows) {
    /** Without a wish, no longer than this: 32,768 tokens of a 7B model take 1.75 GiB in half precision. */
    static final int LONGEST_UNASKED = 32_768;
    /** Different tokens of a request that penalties touch, on average over those of a step: 2 MB on host and device for 32 rows. */
    private static final int APART_OF_ROW = 4096;
    /** A context that was not asked for is shortened to no less than this. */
    static final int SHORTEST_UNASKED = 2048;

    private static final Logger LOG = LoggerFactory.getLogger(ContextPlan.class);
    // A slot of the cache is counted in an int.
    private static final long MOST_TOKENS = (long) Integer.MAX_VALUE - KvPages.PAGE_TOKENS;
    // They are one array of integers.
    private static final long MOST_CHOSEN_BYTES = 4L * Integer.MAX_VALUE;

    /**
     * Plans.
     *
     * @param reach what the model was made for
     * @param sparse budgets of sparse prefill, or null if there is none
     * @param availableBytes memory that is left
     * @throws InsufficientMemoryException if what was asked for does not fit, or not even a short context
     */
    static ContextPlan of(
            Checkpoint checkpoint,
            LongContext reach,
            Ops ops,
            LoadOptions options,
            @Nullable SparseBudgets sparse,
            long availableBytes) {
        QwenConfig config = reach.config();
        boolean asked = options.contextLength() > 0;
        int context = asked ? options.contextLength() : unasked(reach);
        if (context > config.contextLength()) {
            LOG.warn("{}: a context of {} tokens was asked for, the model was made for {}", checkpoint.path(), context,
                    config.contextLength());
        }
        ContextPlan plan = plan(config, options, context);
        MemoryNeeds needs = plan.needs(checkpoint, config, ops, options, sparse, availableBytes);
        if (!asked && options.cacheTokens() == 0 && needs.totalBytes() > availableBytes) {
            long room = availableBytes - (needs.totalBytes() - needs.cacheBytes());
            long tokens = Math.max(0, room) / plan.layout.pageBytes() * KvPages.PAGE_TOKENS;
            int shortened = (int) Math.max(Math.min(context, SHORTEST_UNASKED), Math.min(context, tokens));
            plan = plan(config, options, shortened);
            needs = plan.needs(checkpoint, config, ops, options, sparse, availableBytes);
            if (needs.totalBytes() <= availableBytes) {
                LOG.info("{}: context shortened from {} to {} tokens to fit in memory", checkpoint.path(), context, shortened);
            }
        }
        needs.check(availableBytes);
        return plan;
    }

    /** Who extends the context wants it. */
    private static int unasked(LongContext reach) {
        int own = reach.config().contextLength();
        return reach.asked() ? own : Math.min(own, LONGEST_UNASKED);
    }

    private static ContextPlan plan(QwenConfig config, LoadOptions options, int context) {
        long cacheTokens = options.cacheTokens() > 0 ? options.cacheTokens() : context;
        int pages = KvPages.pagesFor(Math.min(cacheTokens, MOST_TOKENS));
        KvLayout layout = new KvLayout(options.kvCache(), config.layers(), pages, KvPages.PAGE_TOKENS, config.kvHeads(), config.headSize());
        // One more than the context is never needed: a prompt is not longer, and other sequences decode beside it.
        int slice = Math.min(options.prefillSlice(), context);
        int rows = Math.min(32, Math.max(16, options.maxConcurrent()));
        int maxTokens = slice + options.maxConcurrent();
        return new ContextPlan(context, layout, maxTokens, Math.min(rows, maxTokens));
    }

    private MemoryNeeds needs(
            Checkpoint checkpoint,
            QwenConfig config,
            Ops ops,
            LoadOptions options,
            @Nullable SparseBudgets sparse,
            long availableBytes) {
        try {
            MemoryNeeds needs = MemoryNeeds.of(checkpoint, config, ops, options.quantization(), maxTokens, maxLogitsRows, layout);
            if (sparse != null) {
                needs = needs.withMore(chosenBytes(sparse.within(contextLength), mostRuns(config, options), availableBytes));
            }
            if (ops.selectsLogits()) {
                needs = needs.withMore(LogitSelection.bytes(maxLogitsRows, mostApart()));
            }
            needs.totalBytes();
            return needs;
        } catch (ArithmeticException e) {
            throw new InsufficientMemoryException("a KV cache of " + layout.pages() + " pages of " + layout.pageTokens()
                    + " tokens takes more bytes than there are numbers for; ask for a shorter context", Long.MAX_VALUE, availableBytes);
        }
    }

    private static long chosenBytes(SparseBudgets sparse, int mostRuns, long availableBytes) {
        long bytes = ChosenAttention.bytes(sparse, mostRuns);
        if (bytes > MOST_CHOSEN_BYTES) {
            throw new InsufficientMemoryException("the keys that sparse prefill chooses take " + bytes + " bytes with budgets of up to "
                    + sparse.mostColumns() + " columns and " + sparse.mostDiagonals() + " diagonals, at most " + MOST_CHOSEN_BYTES
                    + "; take smaller budgets or fewer requests at a time", bytes, availableBytes);
        }
        return bytes;
    }

    /** Most runs of sparse slices in a step. */
    int mostRuns(QwenConfig config, LoadOptions options) {
        QwenConfig.DualChunk chunks = config.rope().dualChunk();
        return KeyChoice.mostRuns(maxTokens, options.maxConcurrent(), chunks == null ? 0 : chunks.chunkLength());
    }

    /** Most ids of the rows of logits that penalties and bias may change; where there are more, a row is looked at as a whole. */
    int mostApart() {
        return maxLogitsRows * APART_OF_ROW;
    }

    /** Most prompt tokens of a step. */
    int prefillSlice(LoadOptions options) {
        return maxTokens - options.maxConcurrent();
    }

    /** The longest sequence, in pages of its own. */
    int pagesOfSequence() {
        return Math.min(layout.pages(), KvPages.pagesFor(contextLength));
    }
}
