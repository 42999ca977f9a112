package io.qwen4j.core.engine;

import io.qwen4j.ContextOverflowException;
import io.qwen4j.LoadOptions;
import io.qwen4j.ProgressListener;
import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.cache.PageTable;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.CheckpointReader;
import io.qwen4j.core.model.LayerAttention;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenDecoder;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.FreeList;
import io.qwen4j.core.ops.Ops;
import java.nio.file.Path;
import java.util.function.Function;

/** A model that prefills one text at a time on the calling thread, in slices that are marked as sparse: for looking into its attention. */
final class Prefill<A extends LayerAttention> implements AutoCloseable {
    private final FreeList owned = new FreeList();
    private final int vocabularyRows;
    private final int plainLength;
    private final int slice;
    private final A attention;
    private final QwenDecoder decoder;
    private final Batch batch;
    private final KvPages pages;

    /**
     * What an attention is made of.
     *
     * @param owned frees what is added to it when the prefill is closed
     */
    record Parts(Ops ops, QwenConfig config, SparseBudgets budgets, int maxTokens, int mostRuns, FreeList owned) {
        /** An activation that is freed with the prefill. */
        Activation activation(int columns) {
            return owned.add(ops.activation(maxTokens, columns));
        }
    }

    /**
     * Loads a model.
     *
     * @param asked options of the user; those of context and concurrency are replaced
     * @param tokens longest text
     * @param budgets those of the attention, for the memory that it takes
     * @param maker makes the attention
     */
    Prefill(Path model, LoadOptions asked, int tokens, Function<QwenConfig, SparseBudgets> budgets, Function<Parts, A> maker) {
        LoadOptions options = options(asked, tokens);
        try (Checkpoint checkpoint = CheckpointReader.open(model, options.limits())) {
            Ops chosen = owned.add(Backends.open(Settings.of(options)));
            LongContext reach = LongContext.of(checkpoint.config(), model, options);
            QwenConfig config = reach.config();
            SparseBudgets sparse = budgets.apply(config).within(tokens);
            Placement<A> placed = Placement.of(
                    new Placement.Model(checkpoint, reach, options, sparse, null, options.progress()),
                    chosen,
                    (ops, plan, taken) -> maker.apply(
                            new Parts(ops, config, sparse, plan.maxTokens(), plan.mostRuns(config, options), taken)),
                    owned);
            vocabularyRows = config.vocabularyRows();
            plainLength = reach.plainLength();
            slice = placed.plan().prefillSlice(options);
            attention = placed.attention();
            decoder = placed.decoder();
            batch = placed.batch();
            pages = new KvPages(placed.plan().layout().pages());
        } catch (Throwable e) {
            owned.close();
            throw e;
        }
    }

    private static LoadOptions options(LoadOptions o, int tokens) {
        return new LoadOptions(o.device(), o.instructionSet(), o.threads(), tokens, tokens, o.activations(), o.kvCache(),
                o.quantization(), o.yarn(), o.dualChunk(), null, o.prefillSlice(), 1, 0, o.checkValues(), o.limits(), o.progress());
    }

    A attention() {
        return attention;
    }

    /** Tokens of a slice but the last one. */
    int slice() {
        return slice;
    }

    /**
     * Prefills the first {@code count} tokens of a text from the beginning.
     *
     * @param progress hears of the tokens done
     */
    void run(int[] tokens, int count, String stage, ProgressListener progress) {
        check(tokens, count);
        progress.progress(stage, 0, count);
        int told = 0;
        try (PageTable table = new PageTable(pages)) {
            for (int begin = 0; begin < count; begin += slice) {
                int end = Math.min(count, begin + slice);
                if (!table.reserve(end)) {
                    throw new ContextOverflowException(count, pages.pages() * KvPages.PAGE_TOKENS);
                }
                batch.clear();
                batch.beginSequence(begin, table.pages(), table.count(), count, count > plainLength);
                batch.markSparse();
                for (int i = begin; i < end; i++) {
                    batch.addToken(tokens[i], false);
                }
                decoder.hidden(batch);
                if (end == count || end - told >= count / 100) {
                    told = end;
                    progress.progress(stage, end, count);
                }
            }
        }
    }

    private void check(int[] tokens, int count) {
        for (int i = 0; i < count; i++) {
            if (tokens[i] < 0 || tokens[i] >= vocabularyRows) {
                throw new IllegalArgumentException(
                        "token " + i + " is " + tokens[i] + ", the model has the rows 0 to " + (vocabularyRows - 1));
            }
        }
    }

    @Override
    public void close() {
        owned.close();
    }
}
