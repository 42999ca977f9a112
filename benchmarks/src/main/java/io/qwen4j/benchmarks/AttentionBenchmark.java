package io.qwen4j.benchmarks;

import io.qwen4j.KvCacheType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
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

/** Attention and what goes before it: one token or a slice of 512 that ends a sequence of 4096 tokens. */
@State(Scope.Benchmark)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(1)
@Warmup(iterations = 1, time = 2)
@Measurement(iterations = 3, time = 2)
public class AttentionBenchmark {
    private static final int LENGTH = 4096;
    private static final int PAGE = 32;

    /** T. */
    @Param({"1", "512"})
    public int tokens;

    /** Storage of keys and values. */
    @Param({"F16", "INT8"})
    public KvCacheType cacheType;

    private AttentionShape shape;
    private Ops ops;
    private Batch batch;
    private KvCache cache;
    private Activation qkv;
    private Activation rotation;
    private Activation attended;
    private double cachedBytes;
    private int layer;

    /** Fills the cache of all layers, so that none is in the processor's caches when its turn comes. */
    @Setup
    public void setUp() {
        ops = Kernels.ops();
        KvLayout layout = new KvLayout(cacheType, Kernels.LAYERS, LENGTH / PAGE, PAGE, Kernels.KV_HEADS, Kernels.HEAD_SIZE);
        cachedBytes = layout.bytes() / Kernels.LAYERS;
        float scale = (float) (1 / Math.sqrt(Kernels.HEAD_SIZE));
        shape = new AttentionShape(Kernels.HEADS, Kernels.KV_HEADS, Kernels.HEAD_SIZE, scale, 0, layout.keysCentred());
        qkv = Kernels.random(ops, 512, shape.qkvWidth());
        rotation = ops.activation(512, shape.rotationWidth());
        attended = ops.activation(tokens, shape.queryWidth());
        for (int i = 0; i < 512 * shape.rotationWidth(); i++) {
            // No rotation: cosines of 1, then sines of 0.
            rotation.buffer().put(i, i % Kernels.HEAD_SIZE < Kernels.HEAD_SIZE / 2 ? 1 : 0);
        }
        cache = ops.kvCache(layout);
        batch = new Batch(ops, 512, 1, LENGTH / PAGE, PAGE);
        for (int from = 0; from < LENGTH; from += 512) {
            slice(from, 512);
            for (int i = 0; i < Kernels.LAYERS; i++) {
                ops.rotateAndStore(qkv, null, rotation, batch, shape, cache, i);
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
        work.add(cachedBytes + 8.0 * tokens * shape.queryWidth(),
                2.0 * tokens * Kernels.HEADS * Kernels.HEAD_SIZE * length);
    }

    /** Queries and keys are read and written, keys and values stored; four multiplications and two additions a pair. */
    @Benchmark
    public void rotary(Work work) {
        ops.rotateAndStore(qkv, null, rotation, batch, shape, cache, layer);
        layer = (layer + 1) % Kernels.LAYERS;
        double rotated = (double) tokens * (Kernels.HEADS + Kernels.KV_HEADS) * Kernels.HEAD_SIZE;
        double values = (double) tokens * Kernels.KV_HEADS * Kernels.HEAD_SIZE;
        work.add(8 * rotated + cachedBytes * (double) tokens / LENGTH + 4 * values, 2 * rotated);
    }

    /** Frees all. */
    @TearDown
    public void tearDown() {
        for (AutoCloseable owned : List.<AutoCloseable>of(attended, rotation, qkv, batch, cache, ops)) {
            try {
                owned.close();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
