package io.qwen4j.core.engine;

import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.model.ChosenAttention;
import io.qwen4j.core.model.MemoryNeeds;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenWeights;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Fits a model into memory. What was asked for stays as it is; of the rest is given up, one after the other, until it fits: a part of the
 * context and so of the cache, and in memory of a device large prefill slices, then half precision of keys and values. Each step is logged
 * with the bytes that were asked and those that are free.
 */
final class MemoryFit {
    /** Prefill slices where none are asked for, largest first. Below 64 tokens the weights are read more often than they are multiplied. */
    private static final List<Integer> SLICES = List.of(512, 256, 128, 64);
    /** Types of the cache where none is asked for, largest first. */
    private static final List<KvCacheType> TYPES = List.of(KvCacheType.F16, KvCacheType.INT8);

    private static final Logger LOG = LoggerFactory.getLogger(MemoryFit.class);
    // They are one array of integers.
    private static final long MOST_CHOSEN_BYTES = 4L * Integer.MAX_VALUE;

    private final Checkpoint checkpoint;
    private final LongContext reach;
    private final Ops ops;
    private final LoadOptions options;
    private final @Nullable SparseBudgets sparse;
    private final long weightBytes;

    /** What may be given up beside the context. */
    private record Choice(int slice, KvCacheType type) {}

    /**
     * Looks at a model.
     *
     * @param reach what it was made for
     * @param sparse budgets of sparse prefill, or null if there is none
     */
    MemoryFit(Checkpoint checkpoint, LongContext reach, Ops ops, LoadOptions options, @Nullable SparseBudgets sparse) {
        this.checkpoint = checkpoint;
        this.reach = reach;
        this.ops = ops;
        this.options = options;
        this.sparse = sparse;
        weightBytes = QwenWeights.bytesNeeded(checkpoint, ops, options.quantization());
    }

    /**
     * Plans for memory.
     *
     * @throws InsufficientMemoryException if what was asked for does not fit, or not even the least of the rest
     */
    ContextPlan plan(long availableBytes) {
        int context = ContextPlan.wanted(reach, options);
        if (context > reach.config().contextLength()) {
            LOG.warn("{}: a context of {} tokens was asked for, the model was made for {}", checkpoint.path(), context,
                    reach.config().contextLength());
        }
        List<String> steps = new ArrayList<>();
        ContextPlan plan = fit(options, availableBytes, steps);
        if (plan == null) {
            throw refusal(availableBytes);
        }
        steps.forEach(step -> LOG.info("{}: {}", checkpoint.path(), step));
        if (options.kvCache() == null && plan.layout().type() == KvCacheType.INT8) {
            LOG.warn("{}: keys and values are kept in 8 bits, because the memory of {} is short", checkpoint.path(), ops.description());
        }
        return plan;
    }

    /** What a plan takes. */
    MemoryNeeds needs(ContextPlan plan, long availableBytes) {
        return needs(options, plan, availableBytes);
    }

    /** The first that fits, or null; {@code steps} hears of what was given up. */
    private @Nullable ContextPlan fit(LoadOptions asked, long availableBytes, List<String> steps) {
        int context = ContextPlan.wanted(reach, asked);
        boolean shortens = asked.contextLength() == 0 && asked.cacheTokens() == 0;
        Choice before = null;
        long bytes = 0;
        for (Choice choice : choices(asked)) {
            if (before != null) {
                steps.add(figures(bytes, availableBytes) + difference(before, choice));
            }
            before = choice;
            ContextPlan plan = ContextPlan.of(reach.config(), asked, context, choice.slice, choice.type);
            MemoryNeeds needs = needs(asked, plan, availableBytes);
            if (needs.totalBytes() > availableBytes && shortens && context > ContextPlan.SHORTEST_UNASKED) {
                if (steps.isEmpty()) {
                    steps.add(figures(needs.totalBytes(), availableBytes) + "a context of less than " + context + " tokens");
                }
                plan = shortened(asked, choice, context, availableBytes);
                needs = needs(asked, plan, availableBytes);
            }
            bytes = needs.totalBytes();
            if (bytes <= availableBytes) {
                if (!steps.isEmpty()) {
                    steps.add(bytes + " bytes of " + availableBytes + " are taken with " + words(plan));
                }
                return plan;
            }
        }
        return null;
    }

    /** With the longest context of whole pages that fits, or the shortest of all. */
    private ContextPlan shortened(LoadOptions asked, Choice choice, int context, long availableBytes) {
        int least = ContextPlan.SHORTEST_UNASKED / KvPages.PAGE_TOKENS;
        int most = (context - 1) / KvPages.PAGE_TOKENS;
        while (least < most) {
            int middle = least + (most - least + 1) / 2;
            if (needs(asked, withPages(asked, choice, middle), availableBytes).totalBytes() <= availableBytes) {
                least = middle;
            } else {
                most = middle - 1;
            }
        }
        return withPages(asked, choice, least);
    }

    private ContextPlan withPages(LoadOptions asked, Choice choice, int pages) {
        return ContextPlan.of(reach.config(), asked, pages * KvPages.PAGE_TOKENS, choice.slice, choice.type);
    }

    /** What is tried, in this order. */
    private List<Choice> choices(LoadOptions asked) {
        // On the host what is free is an estimate, and memory is rarely what is short.
        int tries = ops.hostMemory() ? 1 : Integer.MAX_VALUE;
        List<KvCacheType> types = asked.kvCache() != null ? List.of(asked.kvCache()) : TYPES;
        List<Integer> slices = asked.prefillSlice() > 0 ? List.of(asked.prefillSlice()) : SLICES;
        return types.stream()
                .limit(tries)
                .flatMap(type -> slices.stream().limit(tries).map(slice -> new Choice(slice, type)))
                .toList();
    }

    private static String figures(long asked, long available) {
        return asked + " bytes are asked, " + available + " are free: trying ";
    }

    private static String difference(Choice before, Choice now) {
        return before.type != now.type
                ? "keys and values in " + now.type + " instead of " + before.type
                : "prefill slices of " + now.slice + " tokens instead of " + before.slice;
    }

    private String words(ContextPlan plan) {
        return "a context of " + plan.contextLength() + " tokens, prefill slices of " + plan.prefillSlice(options) + " and a cache of "
                + plan.layout().type();
    }

    /** Names what was asked for and does not fit, and what would. */
    private InsufficientMemoryException refusal(long availableBytes) {
        int context = ContextPlan.wanted(reach, options);
        List<Choice> choices = choices(options);
        Choice last = choices.get(choices.size() - 1);
        boolean shortens = options.contextLength() == 0 && options.cacheTokens() == 0;
        int least = shortens ? Math.min(context, ContextPlan.SHORTEST_UNASKED) : context;
        MemoryNeeds needs = needs(ContextPlan.of(reach.config(), options, least, last.slice, last.type), availableBytes);
        ContextPlan other = fit(open(), availableBytes, new ArrayList<>());
        List<String> asked = asked();
        StringBuilder advice = new StringBuilder(asked.isEmpty()
                ? "this is the least that it takes here"
                : "asked for: " + String.join(", ", asked));
        if (other != null) {
            advice.append("; what would fit is ").append(words(other));
        } else {
            advice.append("; nothing would fit but fewer requests at a time, weights of fewer bits");
            advice.append(ops.hostMemory() ? ", or on the Java backend a larger heap (-Xmx)" : ", or another device");
        }
        return needs.refusal(availableBytes, advice.toString());
    }

    /** The same options without those that take memory, but for what is as small as it can be. */
    private LoadOptions open() {
        KvCacheType type = options.kvCache() == KvCacheType.INT8 ? KvCacheType.INT8 : null;
        return new LoadOptions(options.device(), options.instructionSet(), options.threads(), 0, 0, options.activations(), type,
                options.quantization(), options.yarn(), options.dualChunk(), options.sparsePrefill(), 0, options.maxConcurrent(),
                options.queueLimit(), options.checkValues(), options.limits(), options.progress());
    }

    private List<String> asked() {
        List<String> asked = new ArrayList<>();
        if (options.contextLength() > 0) {
            asked.add("a context of " + options.contextLength() + " tokens");
        }
        if (options.cacheTokens() > 0) {
            asked.add("a cache of " + options.cacheTokens() + " tokens");
        }
        if (options.prefillSlice() > 0) {
            asked.add("prefill slices of " + options.prefillSlice());
        }
        if (options.kvCache() != null) {
            asked.add("keys and values in " + options.kvCache());
        }
        return asked;
    }

    private MemoryNeeds needs(LoadOptions asked, ContextPlan plan, long availableBytes) {
        QwenConfig config = reach.config();
        try {
            long chosen = sparse == null
                    ? 0
                    : chosenBytes(sparse.within(plan.contextLength()), plan.mostRuns(config, asked), availableBytes);
            MemoryNeeds needs =
                    MemoryNeeds.of(weightBytes, config, ops, plan.maxTokens(), plan.maxLogitsRows(), plan.layout(), chosen);
            if (ops.selectsLogits()) {
                needs = needs.withMore(LogitSelection.bytes(plan.maxLogitsRows(), plan.mostApart()));
            }
            needs.totalBytes();
            return needs;
        } catch (ArithmeticException e) {
            throw new InsufficientMemoryException("a KV cache of " + plan.layout().pages() + " pages of " + plan.layout().pageTokens()
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
}
