package io.qwen4j.core.engine;

import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import org.jspecify.annotations.Nullable;

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

    // A slot of the cache is counted in an int.
    private static final long MOST_TOKENS = (long) Integer.MAX_VALUE - KvPages.PAGE_TOKENS;

    /**
     * Plans.
     *
     * @param reach what the model was made for
     * @param sparse budgets of sparse prefill, or null if there is none
     * @param availableBytes memory that is left
     * @throws io.qwen4j.InsufficientMemoryException if what was asked for does not fit, or not even a short context
     */
    static ContextPlan of(
            Checkpoint checkpoint,
            LongContext reach,
            Ops ops,
            LoadOptions options,
            @Nullable SparseBudgets sparse,
            long availableBytes) {
        return new MemoryFit(checkpoint, reach, ops, options, sparse).plan(availableBytes);
    }

    /** The longest sequence that is asked for. Who extends the context wants it. */
    static int wanted(LongContext reach, LoadOptions options) {
        int own = reach.config().contextLength();
        return options.contextLength() > 0 ? options.contextLength() : reach.asked() ? own : Math.min(own, LONGEST_UNASKED);
    }

    /** A plan, whether it fits or not. */
    static ContextPlan of(QwenConfig config, LoadOptions options, int context, int slice, KvCacheType type) {
        long cacheTokens = options.cacheTokens() > 0 ? options.cacheTokens() : context;
        int pages = KvPages.pagesFor(Math.min(cacheTokens, MOST_TOKENS));
        KvLayout layout = new KvLayout(type, config.layers(), pages, KvPages.PAGE_TOKENS, config.kvHeads(), config.headSize());
        int rows = Math.min(32, Math.max(16, options.maxConcurrent()));
        // One more than the context is never needed: a prompt is not longer, and other sequences decode beside it.
        int maxTokens = Math.min(slice, context) + options.maxConcurrent();
        return new ContextPlan(context, layout, maxTokens, Math.min(rows, maxTokens));
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
