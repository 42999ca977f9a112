package io.qwen4j.benchmarks;

import io.qwen4j.KvCacheType;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Weight;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** What a layer computes beside its matrices: one token or a slice of 512 that ends a sequence of 4096 tokens. */
@State(Scope.Benchmark)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(1)
@Warmup(iterations = 1, time = 2)
@Measurement(iterations = 3, time = 2)
public class LayerBenchmark {
    private static final int LENGTH = 4096;
    private static final int PAGE = 32;

    /** T. */
    @Param({"1", "512"})
    public int tokens;

    private final AttentionShape shape =
            new AttentionShape(Kernels.HEADS, Kernels.KV_HEADS, Kernels.HEAD_SIZE, (float) (1 / Math.sqrt(Kernels.HEAD_SIZE)));
    private Ops ops;
    private Batch batch;
    private KvCache cache;
    private Weight gain;
    private Activation x;
    private Activation normed;
    private Activation qkv;
    private Activation rotation;
    private Activation attended;
    private Activation gateUp;
    private Activation gated;
    private int layer;

    /** Fills the cache of all layers, so that none is in the processor's caches when its turn comes. */
    @Setup
    public void setUp() {
        ops = Kernels.ops();
        gain = ops.vector(List.of(RandomMatrix.of(WeightType.F32, 1, Kernels.HIDDEN)));
        x = Kernels.random(ops, tokens, Kernels.HIDDEN);
        normed = ops.activation(tokens, Kernels.HIDDEN);
        qkv = Kernels.random(ops, 512, shape.qkvWidth());
        rotation = ops.activation(512, Kernels.HEAD_SIZE);
        attended = ops.activation(tokens, shape.queryWidth());
        gateUp = Kernels.random(ops, tokens, 2 * Kernels.FFN);
        gated = ops.activation(tokens, Kernels.FFN);
        for (int i = 0; i < 512 * Kernels.HEAD_SIZE; i++) {
            // No rotation: cosines of 1, then sines of 0.
            rotation.buffer().put(i, i % Kernels.HEAD_SIZE < Kernels.HEAD_SIZE / 2 ? 1 : 0);
        }
        cache = ops.kvCache(new KvLayout(KvCacheType.F16, Kernels.LAYERS, LENGTH / PAGE, PAGE, Kernels.KV_HEADS, Kernels.HEAD_SIZE));
        batch = new Batch(ops, 512, 1, LENGTH / PAGE, PAGE);
        for (int from = 0; from < LENGTH; from += 512) {
            slice(from, 512);
            for (int i = 0; i < Kernels.LAYERS; i++) {
                ops.rotateAndStore(qkv, rotation, batch, shape, cache, i);
            }
        }
        slice(LENGTH - tokens, tokens);
    }

    private void slice(int cached, int count) {
        int[] pages = new int[LENGTH / PAGE];
        for (int i = 0; i < pages.length; i++) {
            pages[i] = i;
        }
        batch.clear();
        batch.beginSequence(cached, pages, pages.length);
        for (int i = 0; i < count; i++) {
            batch.addToken(0, false);
        }
    }

    /** Queries and all keys, weights and all values; keys and values are read once at best. */
    @Benchmark
    public void attention(Work work) {
        ops.attention(qkv, rotation, batch, shape, cache, layer, attended);
        layer = (layer + 1) % Kernels.LAYERS;
        double length = LENGTH - (tokens - 1) / 2.0;
        work.add(2.0 * 2 * Kernels.KV_HEADS * Kernels.HEAD_SIZE * LENGTH + 8.0 * tokens * shape.queryWidth(),
                2.0 * tokens * Kernels.HEADS * Kernels.HEAD_SIZE * length);
    }

    /** Queries and keys are read and written, keys and values stored in half precision; four multiplications and two additions a pair. */
    @Benchmark
    public void rotary(Work work) {
        ops.rotateAndStore(qkv, rotation, batch, shape, cache, layer);
        layer = (layer + 1) % Kernels.LAYERS;
        double rotated = (double) tokens * (Kernels.HEADS + Kernels.KV_HEADS) * Kernels.HEAD_SIZE;
        double stored = 2.0 * tokens * Kernels.KV_HEADS * Kernels.HEAD_SIZE;
        work.add(8 * rotated + 2 * stored + 4.0 * stored / 2, 2 * rotated);
    }

    /** A sum of squares, then a product. */
    @Benchmark
    public void norm(Work work) {
        ops.rmsNorm(x, tokens, gain, 1e-6f, normed);
        work.add(4.0 * (2 * tokens + 1) * Kernels.HIDDEN, 2.0 * tokens * Kernels.HIDDEN);
    }

    /** Two values read and one written; the exponential is counted as one operation. */
    @Benchmark
    public void swiGlu(Work work) {
        ops.swiGlu(gateUp, tokens, gated);
        work.add(12.0 * tokens * Kernels.FFN, 2.0 * tokens * Kernels.FFN);
    }

    /** Frees all. */
    @TearDown
    public void tearDown() {
        for (AutoCloseable owned : List.<AutoCloseable>of(gated, gateUp, attended, rotation, qkv, normed, x, gain, batch, cache, ops)) {
            try {
                owned.close();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
