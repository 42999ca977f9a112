package io.qwen4j.core.ops;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/** Chooses columns and diagonals by the weights of a run's last queries. A piece is one run and one query head. */
final class JavaKeyChooser implements Workers.Task {
    private final Workers workers;
    private Batch batch;
    private AttentionShape shape;
    private JavaKvCache cache;
    private int layer;
    private KeyChoice choice;
    private float[] qkv = new float[0];
    private float[] rotations = new float[0];

    JavaKeyChooser(Workers workers) {
        this.workers = workers;
    }

    void compute(
            float[] qkv, float[] rotations, Batch batch, AttentionShape shape, JavaKvCache cache, int layer, KeyChoice choice) {
        this.qkv = qkv;
        this.rotations = rotations;
        this.batch = batch;
        this.shape = shape;
        this.cache = cache;
        this.layer = layer;
        this.choice = choice;
        workers.run(this, choice.runs() * shape.heads());
    }

    @Override
    public void run(int piece, int worker) {
        int run = piece / shape.heads();
        int head = piece % shape.heads();
        int b = choice.sequence(run);
        int n = batch.cached(b) + choice.end(run);
        int queries = Math.min(KeyChoice.LAST_QUERIES, choice.end(run) - choice.begin(run));
        int distances = n - queries + 1;
        if (n < KeyChoice.SHORTEST || choice.columnBudget(head) >= n || choice.diagonalBudget(head) >= distances) {
            choice.chooseAll(run, head);
            return;
        }
        double[] columns = new double[n];
        double[] diagonals = new double[distances];
        for (int i = 0; i < queries; i++) {
            double[] weights = weights(b, batch.start(b) + choice.end(run) - queries + i, head);
            for (int p = 0; p < weights.length; p++) {
                columns[p] += weights[p];
                int distance = weights.length - 1 - p;
                if (distance < distances) {
                    diagonals[distance] += weights[p];
                }
            }
        }
        choice.choose(run, head,
                largest(columns, KeyChoice.FIRST_COLUMNS, choice.columnBudget(head)),
                largest(diagonals, KeyChoice.NEAR_DIAGONALS, choice.diagonalBudget(head)));
    }

    private double[] weights(int b, int t, int head) {
        int position = batch.position(t);
        int pageTokens = cache.layout().pageTokens();
        int kvHead = head / (shape.heads() / shape.kvHeads());
        float[] key = new float[shape.headSize()];
        JavaQueries query = new JavaQueries(shape, 1);
        query.rotate(qkv, rotations, t, head, true);
        double[] weights = new double[position + 1];
        for (int p = 0; p <= position; p++) {
            cache.load(layer, batch.page(b, p / pageTokens), p % pageTokens, kvHead, false, key);
            weights[p] = query.dot(0, position, p, key) * shape.scale();
        }
        double largest = Arrays.stream(weights).max().orElseThrow();
        double total = 0;
        for (int p = 0; p <= position; p++) {
            weights[p] = Math.exp(weights[p] - largest);
            total += weights[p];
        }
        for (int p = 0; p <= position; p++) {
            weights[p] /= total;
        }
        return weights;
    }

    /** Places of the largest values, the first {@code sure} ones in any case, ascending. */
    private static int[] largest(double[] values, int sure, int count) {
        Arrays.fill(values, 0, Math.min(sure, values.length), Double.POSITIVE_INFINITY);
        return IntStream.range(0, values.length)
                .boxed()
                .sorted(Comparator.<Integer>comparingDouble(i -> values[i]).reversed().thenComparing(i -> i))
                .limit(count)
                .mapToInt(i -> i)
                .sorted()
                .toArray();
    }
}
