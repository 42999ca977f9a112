package io.qwen4j.benchmarks;

import io.qwen4j.SamplingOptions;
import io.qwen4j.TokenLogProbability;
import io.qwen4j.core.sampling.LogProbabilities;
import io.qwen4j.core.sampling.Sampler;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** From a row of 151,936 logits to a token, and to its log-probability. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
public class SamplerBenchmark {
    private static final int ROWS = 151_936;
    /** Ids that stand for text. */
    private static final int SAMPLEABLE = 151_665;
    /** 39 MB, more than most caches hold: after the layers a row comes from memory. */
    private static final int COUNT = 64;

    /** flat: normal logits of deviation 1, half of all tokens are in a top-p of 0.9. peaked: eight tokens have nearly all probability. */
    @Param({"flat", "peaked"})
    public String distribution;

    private final FloatBuffer logits =
            ByteBuffer.allocateDirect(COUNT * ROWS * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    private final LogProbabilities probabilities = new LogProbabilities(ROWS, SAMPLEABLE, 20);
    private final Sampler greedy = sampler(SamplingOptions.GREEDY.toBuilder());
    private final Sampler defaults =
            sampler(SamplingOptions.builder().temperature(0.7f).topK(20).topP(0.8f).repetitionPenalty(1.05f));
    private final Sampler temperature = sampler(SamplingOptions.builder().temperature(0.8f));
    private final Sampler topP = sampler(SamplingOptions.builder().temperature(0.8f).topP(0.9f));
    private final Sampler minP = sampler(SamplingOptions.builder().temperature(0.8f).minP(0.05f));
    private final Sampler typical = sampler(SamplingOptions.builder().temperature(0.8f).typicalP(0.9f));
    private int row;

    private static Sampler sampler(SamplingOptions.Builder options) {
        return new Sampler(options.seed(1L).build(), ROWS, SAMPLEABLE, new int[] {1, 2, 3});
    }

    /** Fills the rows. */
    @Setup
    public void setUp() {
        boolean flat = distribution.equals("flat");
        Random random = new Random(1);
        for (int r = 0; r < COUNT; r++) {
            for (int id = 0; id < ROWS; id++) {
                logits.put(r * ROWS + id, (float) random.nextGaussian() * (flat ? 1 : 2.5f));
            }
            for (int i = flat ? 8 : 0; i < 8; i++) {
                logits.put(r * ROWS + random.nextInt(SAMPLEABLE), 18 + random.nextFloat() * 4);
            }
        }
    }

    private int next() {
        row = (row + 1) % COUNT;
        return row * ROWS;
    }

    /** The most probable token. */
    @Benchmark
    public int greedy() {
        return greedy.sample(logits, next());
    }

    /** What Qwen2.5 is sampled with unless a request says otherwise. */
    @Benchmark
    public int defaults() {
        return defaults.sample(logits, next());
    }

    /** Any token. */
    @Benchmark
    public int temperature() {
        return temperature.sample(logits, next());
    }

    /** The nucleus of all tokens. */
    @Benchmark
    public int topP() {
        return topP.sample(logits, next());
    }

    /** All tokens with a twentieth of the greatest probability. */
    @Benchmark
    public int minP() {
        return minP.sample(logits, next());
    }

    /** The typical ones of all tokens. */
    @Benchmark
    public int typical() {
        return typical.sample(logits, next());
    }

    /** Log-probabilities of a token and five alternatives. */
    @Benchmark
    public TokenLogProbability logProbabilities() {
        return probabilities.of(logits, next(), 7, 5);
    }
}
