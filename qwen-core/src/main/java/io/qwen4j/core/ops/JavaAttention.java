package io.qwen4j.core.ops;

/**
 * Attention over pages. A piece is one token and one kv head: its keys and values are loaded once for the H / K query heads that share
 * them.
 */
final class JavaAttention implements Workers.Task {
    private final Workers workers;
    private final Scratch[] scratch;
    private Batch batch;
    private AttentionShape shape;
    private JavaKvCache cache;
    private int layer;
    private float[] qkv = new float[0];
    private float[] rotations = new float[0];
    private float[] out = new float[0];

    /** Working memory of a worker; grows with the longest sequence. */
    private static final class Scratch {
        private double[] scores = new double[0];
        private double[] sums = new double[0];
        private float[] row = new float[0];
        /** The query heads of the group, rotated with one section after the other. */
        private float[] queries = new float[0];

        private void fit(int scoreCount, int sumCount, int headSize) {
            if (scores.length < scoreCount) {
                scores = new double[scoreCount + scoreCount / 2];
            }
            if (sums.length < sumCount) {
                sums = new double[sumCount];
            }
            if (row.length < headSize) {
                row = new float[headSize];
            }
            if (queries.length < Rotations.SECTIONS * sumCount) {
                queries = new float[Rotations.SECTIONS * sumCount];
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

    void compute(float[] qkv, float[] rotations, Batch batch, AttentionShape shape, JavaKvCache cache, int layer, float[] out) {
        this.qkv = qkv;
        this.rotations = rotations;
        this.batch = batch;
        this.shape = shape;
        this.cache = cache;
        this.layer = layer;
        this.out = out;
        workers.run(this, batch.tokens() * shape.kvHeads());
    }

    @Override
    public void run(int piece, int worker) {
        int t = piece / shape.kvHeads();
        int kvHead = piece % shape.kvHeads();
        int b = 0;
        while (batch.start(b + 1) <= t) {
            b++;
        }
        int length = batch.position(t) + 1;
        int size = shape.headSize();
        int group = shape.heads() / shape.kvHeads();
        int pageTokens = cache.layout().pageTokens();
        Scratch s = scratch[worker];
        s.fit(Math.multiplyExact(group, length), group * size, size);

        rotateQueries(t, kvHead * group, group, s.queries);
        for (int p = 0; p < length; p++) {
            cache.load(layer, batch.page(b, p / pageTokens), p % pageTokens, kvHead, false, s.row);
            int query = shape.section(batch.position(t), p) * group * size;
            for (int h = 0; h < group; h++) {
                double sum = 0;
                for (int i = 0; i < size; i++) {
                    sum += (double) s.queries[query + h * size + i] * s.row[i];
                }
                s.scores[h * length + p] = sum * shape.scale();
            }
        }
        for (int h = 0; h < group; h++) {
            softmax(s.scores, h * length, length);
        }
        java.util.Arrays.fill(s.sums, 0, group * size, 0);
        for (int p = 0; p < length; p++) {
            cache.load(layer, batch.page(b, p / pageTokens), p % pageTokens, kvHead, true, s.row);
            for (int h = 0; h < group; h++) {
                double weight = s.scores[h * length + p];
                for (int i = 0; i < size; i++) {
                    s.sums[h * size + i] += weight * s.row[i];
                }
            }
        }
        int to = t * shape.queryWidth() + kvHead * group * size;
        for (int i = 0; i < group * size; i++) {
            out[to + i] = (float) s.sums[i];
        }
    }

    private void rotateQueries(int t, int firstHead, int heads, float[] to) {
        int size = shape.headSize();
        int from = t * shape.qkvWidth() + firstHead * size;
        if (shape.chunkLength() == 0) {
            System.arraycopy(qkv, from, to, 0, heads * size);
            return;
        }
        for (int section = Rotations.SAME_CHUNK; section <= Rotations.OLDER_CHUNKS; section++) {
            int rotation = t * shape.rotationWidth() + section * size;
            for (int h = 0; h < heads; h++) {
                Rotations.rotate(qkv, from + h * size, rotations, rotation, size, to, (section * heads + h) * size);
            }
        }
    }

    private static void softmax(double[] x, int at, int length) {
        double largest = Double.NEGATIVE_INFINITY;
        for (int i = at; i < at + length; i++) {
            largest = Math.max(largest, x[i]);
        }
        double sum = 0;
        for (int i = at; i < at + length; i++) {
            x[i] = Math.exp(x[i] - largest);
            sum += x[i];
        }
        for (int i = at; i < at + length; i++) {
            x[i] /= sum;
        }
    }
}
