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

/** The matrix of gate and up, 37,888 x 3,584: 44 MB in Q2_K, 543 MB in F32. */
@State(Scope.Benchmark)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(1)
@Warmup(iterations = 1, time = 2)
@Measurement(iterations = 3, time = 2)
public class LinearBenchmark {
    /** Storage of the weights. */
    @Param
    public WeightType type;

    /** T: decode, several sequences, prefill. */
    @Param({"1", "8", "512"})
    public int tokens;

    private Ops ops;
    private Weight weight;
    private Activation x;
    private Activation y;

    /** Packs the weights. */
    @Setup
    public void setUp() {
        ops = Kernels.ops();
        weight = ops.matrix(List.of(RandomMatrix.of(type, 2 * Kernels.FFN, Kernels.HIDDEN)), bytes -> {});
        x = Kernels.random(ops, tokens, Kernels.HIDDEN);
        y = ops.activation(tokens, 2 * Kernels.FFN);
    }

    /** y = x · wᵀ. */
    @Benchmark
    public void linear(Work work) {
        ops.linear(x, tokens, weight, null, y);
        work.add(weight.bytes() + 4.0 * tokens * (Kernels.HIDDEN + 2 * Kernels.FFN), 2.0 * tokens * Kernels.HIDDEN * Kernels.FFN);
    }

    /** Frees all. */
    @TearDown
    public void tearDown() {
        y.close();
        x.close();
        weight.close();
        ops.close();
    }
}
