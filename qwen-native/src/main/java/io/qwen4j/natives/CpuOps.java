package io.qwen4j.natives;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.Ints;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Routing;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The native CPU backend. Each operation is one native call on handles; shapes are checked on the native side, where they are believed.
 */
final class CpuOps extends NativeOps {
    private static final Kinds KINDS =
            new Kinds(NativeBuffer.Floats.class, NativeBuffer.Integers.class, NativeBuffer.Vector.class, NativeKvCache.class);

    private final InstructionSet instructionSet;
    private final int threads;
    private final NativeBackend backend;

    CpuOps(InstructionSet instructionSet, int threads, ActivationPrecision activations) {
        super(KINDS);
        this.instructionSet = instructionSet;
        this.threads = threads;
        backend = new NativeBackend(instructionSet.ordinal(), threads, activations == ActivationPrecision.INT16);
    }

    @Override
    public String description() {
        String name = instructionSet == InstructionSet.VNNI ? "avx512vnni" : instructionSet.name().toLowerCase(java.util.Locale.ROOT);
        return "cpu " + name + ", " + threads + (threads == 1 ? " thread" : " threads");
    }

    @Override
    public List<? extends Weight> matrices(List<? extends List<TensorSource>> matrices, LongConsumer progress) {
        long handle = backend.acquire();
        try {
            return WeightUpload.matrices(this, handle, threads, matrices, progress);
        } finally {
            backend.release();
        }
    }

    @Override
    public Weight vector(List<TensorSource> parts) {
        if (parts.isEmpty()) {
            throw new IllegalArgumentException("a vector of no parts");
        }
        backend.acquire();
        try {
            return WeightUpload.vector(parts);
        } finally {
            backend.release();
        }
    }

    @Override
    public long matrixBytes(TensorSource part) {
        long handle = backend.acquire();
        try {
            return WeightUpload.bytes(handle, part);
        } finally {
            backend.release();
        }
    }

    @Override
    public Activation activation(int rows, int columns) {
        return new NativeBuffer.Floats(rows, columns);
    }

    @Override
    public Ints ints(int count) {
        return new NativeBuffer.Integers(count);
    }

    @Override
    public KvCache kvCache(KvLayout layout) {
        return new NativeKvCache(layout);
    }

    @Override
    public void embed(Weight table, Batch batch, Activation x) {
        begin();
        try {
            NativeException.check(NativeLibrary.embed(hold(backend), matrix(table), hold(batch), hold(x)), "embed");
        } finally {
            end();
        }
    }

    @Override
    public void rmsNorm(Activation x, int rows, Weight gain, float epsilon, Activation y) {
        begin();
        try {
            NativeException.check(NativeLibrary.rmsNorm(hold(backend), hold(x), rows, vector(gain), epsilon, hold(y)), "rmsNorm");
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
            NativeException.check(NativeLibrary.linear(hold(backend), hold(x), rows, matrix(w), offset, add, hold(y)), "linear");
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
            NativeException.check(
                    NativeLibrary.rotateAndStore(
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
            NativeException.check(
                    NativeLibrary.chooseKeys(
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
            NativeException.check(
                    NativeLibrary.attention(
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
            NativeException.check(NativeLibrary.route(hold(backend), hold(scores), rows, hold(routing)), "route");
        } finally {
            end();
        }
    }

    @Override
    public void expertLinear(Activation x, Routing routing, Weight w, Activation y) {
        begin();
        try {
            NativeException.check(
                    NativeLibrary.expertLinear(hold(backend), hold(x), hold(routing), matrix(w), hold(y)), "expertLinear");
        } finally {
            end();
        }
    }

    @Override
    public void expertLinearAdd(Activation x, Routing routing, Weight w, Activation y) {
        begin();
        try {
            NativeException.check(
                    NativeLibrary.expertLinearAdd(hold(backend), hold(x), hold(routing), matrix(w), hold(y)), "expertLinearAdd");
        } finally {
            end();
        }
    }

    @Override
    public void sigmoidGate(Activation x, int rows, Activation gate) {
        begin();
        try {
            NativeException.check(NativeLibrary.sigmoidGate(hold(backend), hold(x), rows, hold(gate)), "sigmoidGate");
        } finally {
            end();
        }
    }

    @Override
    public void swiGlu(Activation x, int rows, Activation out) {
        begin();
        try {
            NativeException.check(NativeLibrary.swiGlu(hold(backend), hold(x), rows, hold(out)), "swiGlu");
        } finally {
            end();
        }
    }

    @Override
    public void relu(Activation x, int rows) {
        begin();
        try {
            NativeException.check(NativeLibrary.relu(hold(backend), hold(x), rows), "relu");
        } finally {
            end();
        }
    }

    @Override
    public void gatherOutputs(Activation x, Batch batch, Activation out) {
        begin();
        try {
            NativeException.check(NativeLibrary.gatherOutputs(hold(backend), hold(x), hold(batch), hold(out)), "gatherOutputs");
        } finally {
            end();
        }
    }

    @Override
    public void close() {
        backend.close();
    }
}
