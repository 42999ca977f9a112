package io.qwen4j.benchmarks;

import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
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

/** What a layer computes beside its matrices and attention, for one token or 512. */
@State(Scope.Benchmark)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(1)
@Warmup(iterations = 1, time = 2)
@Measurement(iterations = 3, time = 2)
public class LayerBenchmark {
    /** T. */
    @Param({"1", "512"})
    public int tokens;

    private Ops ops;
    private Weight gain;
    private Activation x;
    private Activation normed;
    private Activation gateUp;
    private Activation gated;

    /** Makes the activations. */
    @Setup
    public void setUp() {
        ops = Kernels.ops();
        gain = ops.vector(List.of(RandomMatrix.of(WeightType.F32, 1, Kernels.HIDDEN)));
        x = Kernels.random(ops, tokens, Kernels.HIDDEN);
        normed = ops.activation(tokens, Kernels.HIDDEN);
        gateUp = Kernels.random(ops, tokens, 2 * Kernels.FFN);
        gated = ops.activation(tokens, Kernels.FFN);
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
        for (AutoCloseable owned : List.<AutoCloseable>of(gated, gateUp, normed, x, gain, ops)) {
            try {
                owned.close();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
