package io.qwen4j.natives;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.Ints;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Routing;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Walk;
import io.qwen4j.core.ops.Weight;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The CUDA backend. Each operation is one native call on handles, which puts kernels on the stream of the backend and returns: the host waits
 * where it looks at an activation ({@link Activation#buffer()}), and hears there what failed. Shapes are checked on the native side.
 */
final class CudaOps extends NativeOps {
    private static final Kinds KINDS =
            new Kinds(CudaBuffer.Floats.class, CudaBuffer.Integers.class, CudaBuffer.Vector.class, CudaKvCache.class);

    private final CudaDevice device;
    private final CudaBackend backend;
    private final CudaSteps steps;

    private final int threads;

    /**
     * Makes a backend.
     *
     * @param threads that read weights
     */
    CudaOps(CudaDevice device, int threads, ActivationPrecision activations) {
        super(KINDS);
        this.device = device;
        this.threads = threads;
        backend = new CudaBackend(device.index(), activations == ActivationPrecision.INT16);
        steps = new CudaSteps(backend);
    }

    @Override
    public String description() {
        return "cuda, device " + device;
    }

    @Override
    public boolean hostMemory() {
        return false;
    }

    @Override
    public long availableBytes() {
        return device.freeBytes();
    }

    @Override
    public List<? extends Weight> matrices(List<? extends List<TensorSource>> matrices, LongConsumer progress) {
        long handle = backend.acquire();
        try {
            return CudaUpload.matrices(this, handle, threads, matrices, progress);
        } finally {
            backend.release();
        }
    }

    @Override
    public Weight vector(List<TensorSource> parts) {
        if (parts.isEmpty()) {
            throw new IllegalArgumentException("a vector of no parts");
        }
        return CudaBuffer.Vector.of(backend, WeightUpload.values(parts));
    }

    @Override
    public long matrixBytes(TensorSource part) {
        return CudaUpload.bytes(part);
    }

    @Override
    public Activation activation(int rows, int columns) {
        return new CudaBuffer.Floats(backend, rows, columns);
    }

    @Override
    public Ints ints(int count) {
        return new CudaBuffer.Integers(backend, count);
    }

    @Override
    public long cacheBytes(KvLayout layout) {
        return CudaKvCache.bytes(layout);
    }

    @Override
    public long scratchBytes(long activationBytes, KvLayout layout, boolean sparse) {
        long handle = backend.acquire();
        try {
            return CudaException.checkValue(
                    CudaLibrary.scratchBytes(
                            handle, activationBytes, layout.type().ordinal(), layout.pages(), layout.pageTokens(), layout.kvHeads(),
                            layout.headSize(), sparse),
                    "scratch memory");
        } finally {
            backend.release();
        }
    }

    @Override
    public KvCache kvCache(KvLayout layout) {
        return new CudaKvCache(backend, layout);
    }

    @Override
    public void embed(Weight table, Batch batch, Activation x) {
        begin();
        try {
            CudaException.check(CudaLibrary.embed(hold(backend), matrix(table), hold(batch), hold(x)), "embed");
        } finally {
            end();
        }
    }

    @Override
    public void rmsNorm(Activation x, int rows, Weight gain, float epsilon, Activation y) {
        begin();
        try {
            CudaException.check(CudaLibrary.rmsNorm(hold(backend), hold(x), rows, vector(gain), epsilon, hold(y)), "rmsNorm");
        } finally {
            end();
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
        begin();
        try {
            long offset = bias == null ? 0 : vector(bias);
            CudaException.check(CudaLibrary.linear(hold(backend), hold(x), rows, matrix(w), offset, add, hold(y)), "linear");
        } finally {
            end();
        }
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
        begin();
        try {
            long added = bias == null ? 0 : vector(bias);
            CudaException.check(
                    CudaLibrary.rotateAndStore(
                            hold(backend), hold(qkv), added, hold(rotations), hold(batch), shape.heads(), shape.kvHeads(), shape.headSize(),
                            shape.chunkLength(), hold(cache), layer),
                    "rotateAndStore");
        } finally {
            end();
        }
    }

    @Override
    public void chooseKeys(
            Activation qkv, Activation rotations, Batch batch, AttentionShape shape, KvCache cache, int layer, KeyChoice choice) {
        begin();
        try {
            CudaException.check(
                    CudaLibrary.chooseKeys(
                            hold(backend), hold(qkv), hold(rotations), hold(batch), shape.heads(), shape.kvHeads(), shape.headSize(),
                            shape.scale(), shape.chunkLength(), hold(cache), layer, hold(choice)),
                    "chooseKeys");
        } finally {
            end();
        }
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
        begin();
        try {
            CudaException.check(
                    CudaLibrary.attention(
                            hold(backend), hold(qkv), hold(rotations), hold(batch), shape.heads(), shape.kvHeads(), shape.headSize(),
                            shape.scale(), shape.chunkLength(), hold(cache), layer, choice == null ? 0 : hold(choice), hold(out),
                            logSumExp == null ? 0 : hold(logSumExp)),
                    "attention");
        } finally {
            end();
        }
    }

    @Override
    public void route(Activation scores, int rows, Routing routing) {
        begin();
        try {
            CudaException.check(CudaLibrary.route(hold(backend), hold(scores), rows, hold(routing)), "route");
        } finally {
            end();
        }
    }

    @Override
    public void expertLinear(Activation x, Routing routing, Weight w, Activation y) {
        begin();
        try {
            CudaException.check(
                    CudaLibrary.expertLinear(hold(backend), hold(x), hold(routing), matrix(w), hold(y)), "expertLinear");
        } finally {
            end();
        }
    }

    @Override
    public void expertLinearAdd(Activation x, Routing routing, Weight w, Activation y) {
        begin();
        try {
            CudaException.check(
                    CudaLibrary.expertLinearAdd(hold(backend), hold(x), hold(routing), matrix(w), hold(y)), "expertLinearAdd");
        } finally {
            end();
        }
    }

    @Override
    public void sigmoidGate(Activation x, int rows, Activation gate) {
        begin();
        try {
            CudaException.check(CudaLibrary.sigmoidGate(hold(backend), hold(x), rows, hold(gate)), "sigmoidGate");
        } finally {
            end();
        }
    }

    @Override
    public void swiGlu(Activation x, int rows, Activation out) {
        begin();
        try {
            CudaException.check(CudaLibrary.swiGlu(hold(backend), hold(x), rows, hold(out)), "swiGlu");
        } finally {
            end();
        }
    }

    @Override
    public void relu(Activation x, int rows) {
        begin();
        try {
            CudaException.check(CudaLibrary.relu(hold(backend), hold(x), rows), "relu");
        } finally {
            end();
        }
    }

    @Override
    public void gatherOutputs(Activation x, Batch batch, Activation out) {
        begin();
        try {
            CudaException.check(CudaLibrary.gatherOutputs(hold(backend), hold(x), hold(batch), hold(out)), "gatherOutputs");
        } finally {
            end();
        }
    }

    @Override
    public void repeat(Walk walk, Batch batch, AttentionShape shape, KvCache cache) {
        steps.repeat(this, walk, batch, shape, cache);
    }

    /** See {@code qwc_step_begin}. */
    long beginStep(Walk walk, Batch batch, AttentionShape shape, KvCache cache) {
        begin();
        try {
            return CudaException.checkNumber(
                    CudaLibrary.beginStep(
                            hold(backend), walk.id(), hold(batch), shape.heads(), shape.kvHeads(), shape.headSize(), shape.chunkLength(),
                            hold(cache)),
                    "a step");
        } finally {
            end();
        }
    }

    /** What became of the steps of this backend. */
    CudaSteps steps() {
        return steps;
    }

    @Override
    public boolean selectsLogits() {
        return true;
    }

    @Override
    public void selectLogits(Activation logits, LogitSelection selection) {
        begin();
        try {
            CudaException.check(
                    CudaLibrary.selectLogits(hold(backend), hold(logits), hold(selection), hold(selection.found())), "selectLogits");
        } finally {
            end();
        }
    }

    @Override
    public void close() {
        backend.close();
    }
}
