package io.qwen4j.benchmarks;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.qwen4j.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** Encoding and decoding on one thread: ours, and the tokenizers library behind DJL. Both give the same ids, which is checked first. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class TokenizerBenchmark {
    /** A sentence, about 2 KB, about 1 MB. */
    @Param({"short", "medium", "long"})
    public String text;

    /** A directory with tokenizer.json, or empty for the tokenizer of Qwen2.5. */
    @Param("")
    public String tokenizer;

    private Tokenizer ours;
    private HuggingFaceTokenizer djl;
    private String input;
    private int[] ids;
    private long[] longIds;

    /** Loads both and compares them. */
    @Setup(Level.Trial)
    public void setUp() throws IOException {
        Path directory = TokenizerFile.directory(tokenizer);
        ours = Tokenizer.load(directory);
        djl = HuggingFaceTokenizer.builder()
                .optTokenizerPath(directory.resolve("tokenizer.json"))
                .optAddSpecialTokens(false)
                .optTruncation(false)
                .optPadding(false)
                .build();
        input = switch (text) {
            case "short" -> Texts.SHORT;
            case "medium" -> Texts.mixed(ours, 1500);
            default -> Texts.mixed(ours, 1 << 20);
        };
        ids = ours.encode(input);
        longIds = djl.encode(input).getIds();
        if (!Arrays.equals(Arrays.stream(ids).asLongStream().toArray(), longIds)) {
            throw new IllegalStateException("the two tokenizers give different ids");
        }
        if (!ours.decode(ids).equals(djl.decode(longIds))) {
            throw new IllegalStateException("the two tokenizers give different text");
        }
    }

    /** Frees native memory. */
    @TearDown(Level.Trial)
    public void tearDown() {
        djl.close();
    }

    @Benchmark
    public int[] encodeQwen4j() {
        return ours.encode(input);
    }

    @Benchmark
    public long[] encodeDjl() {
        return djl.encode(input).getIds();
    }

    @Benchmark
    public String decodeQwen4j() {
        return ours.decode(ids);
    }

    @Benchmark
    public String decodeDjl() {
        return djl.decode(longIds);
    }
}
