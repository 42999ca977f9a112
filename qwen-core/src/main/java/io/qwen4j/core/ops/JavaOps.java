package io.qwen4j.core.ops;

import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The plain Java backend: the definition of the operations and the oracle of every kernel test. Sums and elementary functions run in
 * double and are rounded to f32 once; weights are decoded from their blocks each time they are used.
 */
public final class JavaOps implements Ops {
    private final Workers workers;
    private final JavaLinear linear;
    private final JavaExperts experts;
    private final JavaAttention attention;
    private final JavaKeyChooser keyChooser;
    private float[] centre = new float[0];

    /**
     * Makes a backend.
     *
     * @param options the threads; the instruction set is the virtual machine's business
     */
    public JavaOps(OpsOptions options) {
        if (options.threads() < 1) {
            throw new IllegalArgumentException("threads " + options.threads());
        }
        workers = new Workers(options.threads());
        linear = new JavaLinear(workers);
        experts = new JavaExperts(linear);
        attention = new JavaAttention(workers);
        keyChooser = new JavaKeyChooser(workers);
    }

    @Override
    public String description() {
        return "java, " + workers.threads() + (workers.threads() == 1 ? " thread" : " threads");
    }

    @Override
    public long availableBytes() {
        if (HeapMemory.free() < Runtime.getRuntime().maxMemory() / 2) {
            // Half of the heap may be garbage, of a model closed before for one; only a collection tells.
            System.gc();
        }
        return HeapMemory.free();
    }

    @Override
    public Weight matrix(List<TensorSource> parts, LongConsumer progress) {
        return new JavaMatrix(parts, progress);
    }

    @Override
    public Weight vector(List<TensorSource> parts) {
        return new JavaVector(parts);
    }

    @Override
    public long matrixBytes(TensorSource part) {
        return part.byteSize();
    }

    @Override
    public Activation activation(int rows, int columns) {
        return new JavaActivation(rows, columns);
    }

    @Override
    public Ints ints(int count) {
        return new JavaInts(count);
    }

    @Override
    public KvCache kvCache(KvLayout layout) {
        return new JavaKvCache(layout);
    }

    @Override
    public void embed(Weight table, Batch batch, Activation x) {
        JavaMatrix matrix = matrix(table);
        int columns = matrix.columns();
        float[] out = values("x", x, batch.tokens(), columns);
        for (int t = 0; t < batch.tokens(); t++) {
            int id = batch.token(t);
            if (id < 0 || id >= matrix.rows()) {
                throw new IllegalArgumentException("token id " + id + " of a table of " + matrix.rows() + " rows");
            }
            matrix.decodeRow(id, out, t * columns);
        }
    }

    @Override
    public void rmsNorm(Activation x, int rows, Weight gain, float epsilon, Activation y) {
        int n = x.columns();
        float[] in = values("x", x, rows, n);
        float[] g = vector(gain, n);
        float[] out = values("y", y, rows, n);
        for (int at = 0; at < rows * n; at += n) {
            double sum = 0;
            for (int i = 0; i < n; i++) {
                sum += (double) in[at + i] * in[at + i];
            }
            double scale = 1 / Math.sqrt(sum / n + epsilon);
            for (int i = 0; i < n; i++) {
                out[at + i] = (float) (in[at + i] * scale * g[i]);
            }
        }
    }

    @Override
    public void linear(Activation x, int rows, Weight w, @Nullable Weight bias, Activation y) {
        linear(x, rows, w, bias, false, y);
    }

    @Override
    public void linearAdd(Activation x, int rows, Weight w, Activation y) {
        linear(x, rows, w, null, true, y);
    }

    private void linear(Activation x, int rows, Weight w, @Nullable Weight bias, boolean add, Activation y) {
        JavaMatrix matrix = matrix(w);
        if (x == y) {
            throw new IllegalArgumentException("a linear layer cannot write over its input");
        }
        float[] in = values("x", x, rows, matrix.columns());
        float[] out = values("y", y, rows, matrix.rows());
        linear.compute(in, rows, matrix, bias == null ? null : vector(bias, matrix.rows()), add, out);
    }

    @Override
    public void rotateAndStore(
            Activation qkv,
            @Nullable Weight bias,
            Activation rotations,
            Batch batch,
            AttentionShape shape,
            KvCache cache,
            int layer) {
        float[] x = values("qkv", qkv, batch.tokens(), shape.qkvWidth());
        float[] added = bias == null ? null : vector(bias, shape.qkvWidth());
        float[] angles = values("rotations", rotations, batch.tokens(), shape.rotationWidth());
        JavaKvCache pages = cache(cache, shape);
        int size = shape.headSize();
        if (centre.length != size) {
            centre = new float[size];
        }
        int firstRotated = shape.chunkLength() == 0 ? 0 : shape.heads();
        for (int t = 0; t < batch.tokens(); t++) {
            int first = t * shape.qkvWidth();
            for (int h = firstRotated; h < shape.heads() + shape.kvHeads(); h++) {
                int at = first + h * size;
                Rotations.rotate(x, at, angles, t * shape.rotationWidth() + Rotations.KEY * size, size, x, at);
            }
            for (int h = 0; h < shape.kvHeads(); h++) {
                if (shape.keysCentred() && batch.slot(t) % pages.layout().pageTokens() == 0) {
                    if (added == null) {
                        java.util.Arrays.fill(centre, 0);
                    } else {
                        int at = t * shape.rotationWidth() + shape.centreAt();
                        Rotations.rotate(added, (shape.heads() + h) * size, angles, at, size, centre, 0);
                    }
                    pages.storeCentre(layer, batch.slot(t), h, centre);
                }
                int key = first + (shape.heads() + h) * size;
                pages.store(layer, batch.slot(t), h, false, x, key);
                pages.store(layer, batch.slot(t), h, true, x, key + shape.kvHeads() * size);
            }
        }
    }

    @Override
    public void chooseKeys(
            Activation qkv, Activation rotations, Batch batch, AttentionShape shape, KvCache cache, int layer, KeyChoice choice) {
        float[] x = values("qkv", qkv, batch.tokens(), shape.qkvWidth());
        float[] angles = values("rotations", rotations, batch.tokens(), shape.rotationWidth());
        keyChooser.compute(x, angles, batch, shape, cache(cache, shape), layer, choice);
    }

    @Override
    public void attention(
            Activation qkv,
            Activation rotations,
            Batch batch,
            AttentionShape shape,
            KvCache cache,
            int layer,
            @Nullable KeyChoice choice,
            Activation out,
            @Nullable Activation logSumExp) {
        float[] x = values("qkv", qkv, batch.tokens(), shape.qkvWidth());
        float[] angles = values("rotations", rotations, batch.tokens(), shape.rotationWidth());
        float[] y = values("out", out, batch.tokens(), shape.queryWidth());
        float[] logSums = logSumExp == null ? null : values("logSumExp", logSumExp, batch.tokens(), shape.heads());
        attention.compute(x, angles, batch, shape, cache(cache, shape), layer, choice, y, logSums);
    }

    @Override
    public void swiGlu(Activation x, int rows, Activation out) {
        int n = out.columns();
        float[] in = values("x", x, rows, 2 * n);
        float[] y = values("out", out, rows, n);
        for (int t = 0; t < rows; t++) {
            for (int i = 0; i < n; i++) {
                double gate = in[2 * t * n + i];
                double up = in[(2 * t + 1) * n + i];
                y[t * n + i] = (float) (gate / (1 + Math.exp(-gate)) * up);
            }
        }
    }

    @Override
    public void route(Activation scores, int rows, Routing routing) {
        if (rows < 1 || rows > routing.maxTokens()) {
            throw new IllegalArgumentException("a routing for " + routing.maxTokens() + " tokens, asked for " + rows);
        }
        experts.route(values("scores", scores, rows, routing.experts()), rows, routing);
    }

    @Override
    public void expertLinear(Activation x, Routing routing, Weight w, Activation y) {
        JavaMatrix matrix = experts(w, routing);
        if (x == y) {
            throw new IllegalArgumentException("a linear layer cannot write over its input");
        }
        float[] in = values("x", x, routing.tokens(), matrix.columns());
        experts.up(in, routing, matrix, values("y", y, routing.pairs(), matrix.rows() / routing.experts()));
    }

    @Override
    public void expertLinearAdd(Activation x, Routing routing, Weight w, Activation y) {
        JavaMatrix matrix = experts(w, routing);
        if (x == y) {
            throw new IllegalArgumentException("a linear layer cannot write over its input");
        }
        float[] in = values("x", x, routing.pairs(), matrix.columns());
        experts.down(in, routing, matrix, values("y", y, routing.tokens(), matrix.rows() / routing.experts()));
    }

    private static JavaMatrix experts(Weight w, Routing routing) {
        JavaMatrix matrix = matrix(w);
        if (matrix.rows() % routing.experts() != 0) {
            throw new IllegalArgumentException(matrix.rows() + " rows of " + routing.experts() + " experts");
        }
        return matrix;
    }

    @Override
    public void sigmoidGate(Activation x, int rows, Activation gate) {
        int n = x.columns();
        float[] values = values("x", x, rows, n);
        float[] gates = values("gate", gate, rows, 1);
        for (int t = 0; t < rows; t++) {
            double factor = 1 / (1 + Math.exp(-gates[t]));
            for (int i = t * n; i < (t + 1) * n; i++) {
                values[i] = (float) (values[i] * factor);
            }
        }
    }

    @Override
    public void relu(Activation x, int rows) {
        float[] values = values("x", x, rows, x.columns());
        for (int i = 0; i < rows * x.columns(); i++) {
            values[i] = values[i] < 0 ? 0 : values[i];
        }
    }

    @Override
    public void gatherOutputs(Activation x, Batch batch, Activation out) {
        int n = x.columns();
        float[] in = values("x", x, batch.tokens(), n);
        float[] y = values("out", out, batch.outputs(), n);
        for (int r = 0; r < batch.outputs(); r++) {
            System.arraycopy(in, batch.output(r) * n, y, r * n, n);
        }
    }

    @Override
    public void close() {
        workers.close();
    }

    private static float[] values(String name, Activation activation, int rows, int columns) {
        if (!(activation instanceof JavaActivation a)) {
            throw new IllegalArgumentException(name + " belongs to another backend");
        }
        if (rows < 0 || rows > a.rows() || columns != a.columns()) {
            throw new IllegalArgumentException(
                    name + " has room for " + a.rows() + " x " + a.columns() + " values, expected " + rows + " x " + columns);
        }
        return a.values;
    }

    private static JavaMatrix matrix(Weight weight) {
        if (!(weight instanceof JavaMatrix matrix)) {
            throw new IllegalArgumentException("the weight is no matrix of this backend");
        }
        return matrix;
    }

    private static float[] vector(Weight weight, int columns) {
        if (!(weight instanceof JavaVector vector) || vector.columns() != columns) {
            throw new IllegalArgumentException(
                    "expected a vector of " + columns + " values of this backend, found " + weight.rows() + " x " + weight.columns());
        }
        return vector.values;
    }

    private static JavaKvCache cache(KvCache cache, AttentionShape shape) {
        if (!(cache instanceof JavaKvCache pages)) {
            throw new IllegalArgumentException("the KV cache belongs to another backend");
        }
        KvLayout layout = pages.layout();
        if (layout.kvHeads() != shape.kvHeads() || layout.headSize() != shape.headSize() || shape.heads() % shape.kvHeads() != 0
                || layout.keysCentred() != shape.keysCentred()) {
            throw new IllegalArgumentException("attention of shape " + shape + " over a KV cache of shape " + layout);
        }
        return pages;
    }
}
