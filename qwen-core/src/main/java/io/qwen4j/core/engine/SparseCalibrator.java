package io.qwen4j.core.engine;

import io.qwen4j.LoadOptions;
import io.qwen4j.ProgressListener;
import io.qwen4j.SparseCalibration;
import io.qwen4j.core.format.SparseBudgetsFile;
import io.qwen4j.core.model.LayerAttention;
import io.qwen4j.core.model.SparseBudgets;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.ChosenKeyCount;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.Ops;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Finds the least budgets with which sparse attention keeps a share of the attention weight: Algorithm 1 of the Qwen2.5-1M report, begun
 * with the least budgets instead of published ones. The model goes on with what comes of all keys.
 */
public final class SparseCalibrator implements LayerAttention {
    /** Below this there is nothing to choose in any slice but the last. */
    private static final int LEAST_TOKENS = 2 * KeyChoice.SHORTEST;
    /** Bounds the cost: a slice in which budgets have to grow costs up to some dozen times its attention. */
    private static final int MOST_SLICES = 32;
    /** Budgets grow by a quarter, so they end at most that much above the least, and no less than by these many. */
    private static final int LEAST_STEP = 16;

    private final double wanted;
    private final int length;
    private final KeyChoice choice;
    private final SparseBudgets budgets;
    private final double[] lowest;
    private final Candidate columns;
    private final Candidate diagonals;
    private final int heads;
    private final Activation denseSums;
    private final Activation sparseSums;
    private final Activation unused;
    private final ChosenKeyCount keyCount = new ChosenKeyCount();
    private int every = 1;
    private int slice;
    private int measured;
    private boolean measuring;
    private double recallSum;
    private long recallCount;
    private long chosenKeys;
    private long allKeys;

    /** Budgets of the heads of a layer and what came of them. */
    private static final class Candidate {
        private final int[] columns;
        private final int[] diagonals;
        private final double[] recall;
        private final long[] keys;

        Candidate(int heads) {
            columns = new int[heads];
            diagonals = new int[heads];
            recall = new double[heads];
            keys = new long[heads];
        }
    }

    /** Where a layer is computed. */
    private record Place(
            Ops ops, Activation qkv, Activation rotations, Batch batch, AttentionShape shape, KvCache cache, int layer) {}

    private SparseCalibrator(Prefill.Parts parts, double wanted, int length) {
        this.wanted = wanted;
        this.length = length;
        int layers = parts.config().layers();
        heads = parts.config().heads();
        budgets = new SparseBudgets(layers, heads);
        lowest = new double[layers * heads];
        Arrays.fill(lowest, 1);
        columns = new Candidate(heads);
        diagonals = new Candidate(heads);
        choice = parts.owned().add(new KeyChoice(
                parts.ops(), parts.mostRuns(), heads, parts.budgets().mostColumns(), parts.budgets().mostDiagonals()));
        denseSums = parts.activation(heads);
        sparseSums = parts.activation(heads);
        unused = parts.activation(heads * parts.config().headSize());
    }

    /** Implements {@link io.qwen4j.SparseAttention#calibrate}. */
    public static SparseCalibration calibrate(
            Path model, LoadOptions options, int[] tokens, double recall, Path output, ProgressListener progress) {
        if (tokens.length < LEAST_TOKENS) {
            throw new IllegalArgumentException(
                    "calibrating needs a text of at least " + LEAST_TOKENS + " tokens, found " + tokens.length);
        }
        if (Files.isDirectory(output)) {
            throw new IllegalArgumentException("the output " + output + " is a directory, expected the name of a file");
        }
        try (Prefill<SparseCalibrator> prefill = new Prefill<>(
                model,
                options,
                tokens.length,
                // As large as they may become.
                config -> SparseBudgets.uniform(config.layers(), config.heads(), tokens.length, tokens.length),
                parts -> new SparseCalibrator(parts, recall, tokens.length))) {
            SparseCalibrator calibrator = prefill.attention();
            int slices = (tokens.length + prefill.slice() - 1) / prefill.slice();
            calibrator.every = (slices + MOST_SLICES - 1) / MOST_SLICES;
            prefill.run(tokens, tokens.length, "calibrate", progress);
            SparseBudgets found = calibrator.result();
            SparseBudgetsFile.write(found, output);
            return calibrator.summary(found);
        }
    }

    @Override
    public void begin(Batch batch, AttentionShape shape) {
        int end = batch.position(batch.tokens() - 1) + 1;
        slice++;
        // Counted so that the last slice, which has the most keys to leave out, is among them.
        measuring = end == length || end >= KeyChoice.SHORTEST && slice % every == 0;
        if (measuring) {
            measured++;
            choice.begin(batch, shape);
            chosenKeys = 0;
            allKeys = 0;
        }
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
        ops.attention(qkv, rotations, batch, shape, cache, layer, null, out, measuring ? denseSums : null);
        if (measuring) {
            raise(new Place(ops, qkv, rotations, batch, shape, cache, layer));
        }
    }

    /** Raises the budgets of a layer until each head keeps what is wanted in each run. */
    private void raise(Place place) {
        int layer = place.layer;
        Candidate now = new Candidate(heads);
        for (int head = 0; head < heads; head++) {
            now.columns[head] = budgets.columns(layer, head);
            now.diagonals[head] = budgets.diagonals(layer, head);
        }
        evaluate(place, now);
        while (IntStream.range(0, heads).anyMatch(head -> isBelow(now, head))) {
            for (int head = 0; head < heads; head++) {
                // Who has enough is not looked at, and costs the least.
                boolean enough = !isBelow(now, head);
                columns.columns[head] = enough ? KeyChoice.FIRST_COLUMNS : grown(now.columns[head]);
                columns.diagonals[head] = enough ? KeyChoice.NEAR_DIAGONALS : now.diagonals[head];
                diagonals.columns[head] = enough ? KeyChoice.FIRST_COLUMNS : now.columns[head];
                diagonals.diagonals[head] = enough ? KeyChoice.NEAR_DIAGONALS : grown(now.diagonals[head]);
            }
            evaluate(place, columns);
            evaluate(place, diagonals);
            for (int head = 0; head < heads; head++) {
                if (isBelow(now, head)) {
                    take(head, now, gain(head, now, columns) > gain(head, now, diagonals) ? columns : diagonals);
                }
            }
        }
        for (int head = 0; head < heads; head++) {
            int at = layer * heads + head;
            lowest[at] = Math.min(lowest[at], now.recall[head]);
            budgets.set(layer, head, now.columns[head], now.diagonals[head], lowest[at]);
            recallSum += now.recall[head];
            recallCount++;
            chosenKeys += now.keys[head];
        }
        for (int run = 0; run < choice.runs(); run++) {
            allKeys += heads * ChosenKeyCount.all(choice, place.batch, run);
        }
    }

    /** Whether a head lacks recall that larger budgets can give: with all keys, what is missing is rounding. */
    private boolean isBelow(Candidate now, int head) {
        return now.recall[head] < wanted && (now.columns[head] < length || now.diagonals[head] < length);
    }

    /** A budget never needs to be larger than the text. */
    private int grown(int budget) {
        return Math.min(Math.max(length, budget), budget + Math.max(LEAST_STEP, budget / 4));
    }

    /** Recall gained for each key more. */
    private static double gain(int head, Candidate now, Candidate grown) {
        return (grown.recall[head] - now.recall[head]) / Math.max(1, grown.keys[head] - now.keys[head]);
    }

    private static void take(int head, Candidate now, Candidate grown) {
        now.columns[head] = grown.columns[head];
        now.diagonals[head] = grown.diagonals[head];
        now.recall[head] = grown.recall[head];
        now.keys[head] = grown.keys[head];
    }

    /** Measures the lowest recall of the runs and the keys of all of them, of each head. */
    private void evaluate(Place p, Candidate candidate) {
        for (int head = 0; head < heads; head++) {
            choice.budget(head, candidate.columns[head], candidate.diagonals[head]);
        }
        p.ops.chooseKeys(p.qkv, p.rotations, p.batch, p.shape, p.cache, p.layer, choice);
        p.ops.attention(p.qkv, p.rotations, p.batch, p.shape, p.cache, p.layer, choice, unused, sparseSums);
        for (int head = 0; head < heads; head++) {
            candidate.recall[head] = 1;
            candidate.keys[head] = 0;
            for (int run = 0; run < choice.runs(); run++) {
                double sum = Recall.sum(denseSums, sparseSums, p.batch, choice, run, head);
                candidate.recall[head] = Math.min(candidate.recall[head], sum / (choice.end(run) - choice.begin(run)));
                candidate.keys[head] += keyCount.chosen(choice, p.batch, run, head);
            }
        }
    }

    private SparseBudgets result() {
        return budgets;
    }

    private SparseCalibration summary(SparseBudgets found) {
        double columnSum = 0;
        double diagonalSum = 0;
        for (int layer = 0; layer < found.layers(); layer++) {
            for (int head = 0; head < heads; head++) {
                columnSum += found.columns(layer, head);
                diagonalSum += found.diagonals(layer, head);
            }
        }
        return new SparseCalibration(
                found.layers(),
                heads,
                measured,
                columnSum / lowest.length,
                found.mostColumns(),
                diagonalSum / lowest.length,
                found.mostDiagonals(),
                Arrays.stream(lowest).min().orElse(1),
                recallSum / recallCount,
                (double) chosenKeys / allKeys);
    }
}
