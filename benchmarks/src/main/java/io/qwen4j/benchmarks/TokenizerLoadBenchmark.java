package io.qwen4j.benchmarks;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.qwen4j.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
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

/** Reading tokenizer.json as the first thing that a new JVM does; a program's first answer waits for it. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Measurement(iterations = 1)
@Fork(7)
public class TokenizerLoadBenchmark {
    /** A directory with tokenizer.json, or empty for the tokenizer of Qwen2.5. */
    @Param("")
    public String tokenizer;

    private Path directory;

    /** Lays the file out. */
    @Setup
    public void setUp() throws IOException {
        directory = TokenizerFile.directory(tokenizer);
    }

    @Benchmark
    public int loadQwen4j() {
        return Tokenizer.load(directory).vocabularySize();
    }

    @Benchmark
    public HuggingFaceTokenizer loadDjl() throws IOException {
        return HuggingFaceTokenizer.builder().optTokenizerPath(directory.resolve("tokenizer.json")).build();
    }
}
