package io.qwen4j.core.ops;

import org.jspecify.annotations.Nullable;

/** Attention over pages. A piece is one token and one query head. */
final class JavaAttention implements Workers.Task {
    private final Workers workers;
    private final Scratch[] scratch;
    private Batch batch;
    private AttentionShape shape;
    private JavaKvCache cache;
    private int layer;
    private @Nullable KeyChoice choice;
    private float[] qkv = new float[0];
    private float[] rotations = new float[0];
    private float[] out = new float[0];
    private float @Nullable [] logSumExp;

    /** Working memory of a worker; grows with the longest sequence. */
    private static final class Scratch {
        private double[] scores = new double[0];
        private double[] sums = new double[0];
        private float[] row = new float[0];
        private @Nullable JavaQueries query;
        private final JavaChosenKeys keys = new JavaChosenKeys();

        private JavaQueries query(AttentionShape shape) {
            JavaQueries made = query;
            if (made == null || !made.isOf(shape)) {
                made = new JavaQueries(shape, 1);
                query = made;
            }
            return made;
        }

        private void fit(int length, int headSize) {
            if (scores.length < length) {
                scores = new double[length + length / 2];
            }
            if (row.length < headSize) {
                sums = new double[headSize];
                row = new float[headSize];
            }
        }
    }

    JavaAttention(Workers workers) {
        this.workers = workers;
        scratch = new Scratch[workers.threads()];
        for (int i = 0; i < scratch.length; i++) {
            scratch[i] = new Scratch();
        }
    }

    void compute(
            float[] qkv,
            float[] rotations,
            Batch batch,
            AttentionShape shape,
            JavaKvCache cache,
            int layer,
            @Nullable KeyChoice choice,
            float[] out,
            float @Nullable [] logSumExp) {
        this.qkv = qkv;
        this.rotations = rotations;
        this.batch = batch;
        this.shape = shape;
        this.cache = cache;
        this.layer = layer;
        this.choice = choice;
        this.out = out;
        this.logSumExp = logSumExp;
        workers.run(this, batch.tokens() * shape.heads());
    }

    @Override
    public void run(int piece, int worker) {
        int t = piece / shape.heads();
        int head = piece % shape.heads();
        int kvHead = head / (shape.heads() / shape.kvHeads());
        int b = 0;
        while (batch.start(b + 1) <= t) {
            b++;
        }
        int position = batch.position(t);
        int size = shape.headSize();
        int pageTokens = cache.layout().pageTokens();
        Scratch s = scratch[worker];
        s.fit(position + 1, size);
        boolean sparse = choose(s.keys, b, t, head);

        JavaQueries query = s.query(shape);
        query.rotate(qkv, rotations, t, head, false);
        double largest = Double.NEGATIVE_INFINITY;
        for (int p = 0; p <= position; p++) {
            s.scores[p] = Double.NEGATIVE_INFINITY;
            if (!sparse || s.keys.has(p)) {
                cache.load(layer, batch.page(b, p / pageTokens), p % pageTokens, kvHead, false, s.row);
                s.scores[p] = query.dot(0, position, p, s.row) * shape.scale();
            }
            largest = Math.max(largest, s.scores[p]);
        }
        double total = 0;
        for (int p = 0; p <= position; p++) {
            s.scores[p] = Math.exp(s.scores[p] - largest);
            total += s.scores[p];
        }
        java.util.Arrays.fill(s.sums, 0, size, 0);
        for (int p = 0; p <= position; p++) {
            if (!sparse || s.keys.has(p)) {
                cache.load(layer, batch.page(b, p / pageTokens), p % pageTokens, kvHead, true, s.row);
                for (int i = 0; i < size; i++) {
                    s.sums[i] += s.scores[p] * s.row[i];
                }
            }
        }
        int to = t * shape.queryWidth() + head * size;
        for (int i = 0; i < size; i++) {
            out[to + i] = (float) (s.sums[i] / total);
        }
        if (logSumExp != null) {
            logSumExp[t * shape.heads() + head] = (float) (largest + Math.log(total));
        }
    }

    /** Looks up the keys of a token of a sparse slice; false if it attends to all. */
    private boolean choose(JavaChosenKeys keys, int b, int t, int head) {
        if (choice == null || !batch.sparse(b)) {
            return false;
        }
        int token = t - batch.start(b);
        for (int run = 0; run < choice.runs(); run++) {
            if (choice.sequence(run) == b && choice.begin(run) <= token && token < choice.end(run)) {
                int begin = token - (token - choice.begin(run)) % KeyChoice.BLOCK_TOKENS;
                int end = Math.min(choice.end(run), begin + KeyChoice.BLOCK_TOKENS);
                keys.set(choice, run, head, batch.cached(b) + begin, batch.cached(b) + end);
                return true;
            }
        }
        throw new IllegalArgumentException("token " + token + " of sequence " + b + " is in no run of the choice");
    }
}
