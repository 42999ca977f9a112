package io.qwen4j.core.engine;

import io.qwen4j.LoadOptions;
import io.qwen4j.ProgressListener;
import io.qwen4j.SparseMeasurement;
import io.qwen4j.core.model.ChosenAttention;
import io.qwen4j.core.model.LayerAttention;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.ChosenKeyCount;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.Ops;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * Attends to all keys and to chosen ones in every slice and layer, and measures recall and time of both. Which comes first alternates by
 * slices: the second one finds keys in the processor's caches.
 */
public final class SparseMeter implements LayerAttention {
    private final boolean followSparse;
    private final ChosenAttention chosen;
    private final int layers;
    private final int heads;
    private final Activation denseSums;
    private final Activation sparseSums;
    private final Activation unused;
    private final ChosenKeyCount keyCount = new ChosenKeyCount();
    private final double[] recalls;
    private double sliceRecall;
    private long slices;
    private long queries;
    private int sliceQueries;
    private long chosenKeys;
    private long allKeys;
    private long denseNanos;
    private long sparseNanos;
    private long choosingNanos;
    private long countingNanos;

    private SparseMeter(Prefill.Parts parts, boolean followSparse) {
        this.followSparse = followSparse;
        layers = parts.config().layers();
        heads = parts.config().heads();
        recalls = new double[layers * heads];
        chosen = parts.owned().add(new ChosenAttention(parts.ops(), parts.budgets(), parts.mostRuns()));
        denseSums = parts.activation(heads);
        sparseSums = parts.activation(heads);
        unused = parts.activation(heads * parts.config().headSize());
    }

    /** Implements {@link io.qwen4j.SparseAttention#measure}. */
    public static List<SparseMeasurement> measure(
            Path model, LoadOptions options, int[] tokens, List<Integer> lengths, boolean followSparse, ProgressListener progress) {
        int longest = lengths.stream().mapToInt(Integer::intValue).max().orElseThrow();
        try (Prefill<SparseMeter> prefill = new Prefill<>(
                model,
                options,
                longest,
                config -> Objects.requireNonNull(Budgets.of(model, config, options)),
                parts -> new SparseMeter(parts, followSparse))) {
            List<SparseMeasurement> measured = new ArrayList<>();
            for (int length : lengths) {
                prefill.attention().clear();
                long begun = System.nanoTime();
                prefill.run(tokens, length, "measure", progress);
                measured.add(prefill.attention().result(length, System.nanoTime() - begun));
            }
            return measured;
        }
    }

    private void clear() {
        Arrays.fill(recalls, 0);
        slices = 0;
        queries = 0;
        chosenKeys = 0;
        allKeys = 0;
        denseNanos = 0;
        sparseNanos = 0;
        choosingNanos = 0;
        countingNanos = 0;
    }

    @Override
    public void begin(Batch batch, AttentionShape shape) {
        long begun = System.nanoTime();
        chosen.begin(batch, shape);
        choosingNanos += System.nanoTime() - begun;
        slices++;
        sliceQueries = batch.tokens();
        queries += sliceQueries;
        sliceRecall = 0;
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
        boolean sparseFirst = slices % 2 == 0;
        for (int i = 0; i < 2; i++) {
            long begun = System.nanoTime();
            if (i == 0 == sparseFirst) {
                chosen.choose(ops, qkv, rotations, batch, shape, cache, layer);
                long choosing = System.nanoTime() - begun;
                ops.attention(
                        qkv, rotations, batch, shape, cache, layer, chosen.choice(), followSparse ? out : unused, sparseSums);
                sparseNanos += System.nanoTime() - begun - choosing;
                choosingNanos += choosing;
            } else {
                ops.attention(qkv, rotations, batch, shape, cache, layer, null, followSparse ? unused : out, denseSums);
                denseNanos += System.nanoTime() - begun;
            }
        }
        long begun = System.nanoTime();
        count(batch, layer);
        countingNanos += System.nanoTime() - begun;
    }

    private void count(Batch batch, int layer) {
        KeyChoice choice = chosen.choice();
        for (int run = 0; run < choice.runs(); run++) {
            for (int head = 0; head < heads; head++) {
                double sum = Recall.sum(denseSums, sparseSums, batch, choice, run, head);
                recalls[layer * heads + head] += sum;
                sliceRecall += sum;
                chosenKeys += keyCount.chosen(choice, batch, run, head);
                allKeys += ChosenKeyCount.all(choice, batch, run);
            }
        }
    }

    private SparseMeasurement result(int length, long nanos) {
        int worst = 0;
        double sum = 0;
        for (int i = 0; i < recalls.length; i++) {
            worst = recalls[i] < recalls[worst] ? i : worst;
            sum += recalls[i];
        }
        long other = nanos - denseNanos - sparseNanos - choosingNanos - countingNanos;
        return new SparseMeasurement(
                length,
                sum / recalls.length / queries,
                recalls[worst] / queries,
                worst / heads,
                worst % heads,
                sliceRecall / recalls.length / sliceQueries,
                (double) chosenKeys / allKeys,
                denseNanos / 1e9,
                (sparseNanos + choosingNanos) / 1e9,
                choosingNanos / 1e9,
                other / 1e9);
    }
}
