package io.qwen4j.tool;

import io.qwen4j.Generation;
import io.qwen4j.GenerationResult;
import io.qwen4j.LoadOptions;
import io.qwen4j.QwenModel;
import java.io.IOException;
import java.time.Duration;
import java.util.List;

/** How fast a model computes. */
final class BenchCommand implements Command {
    /** What {@link LoadOptions#maxConcurrent()} allows. */
    private static final int MOST_SEQUENCES = 256;

    /**
     * What is measured.
     *
     * @param prompt tokens of the prefill
     * @param generate tokens of the decode
     * @param depth tokens before either
     * @param sequences sequences that decode at once
     */
    record Workload(int prompt, int generate, int depth, int sequences, int lookup) {
        /** Tokens of the longest sequence. */
        long longest() {
            long decode = generate == 0 ? 0 : BenchDecode.tokensOfSequence(sequences, depth, generate) + 1;
            return depth + Math.max(prompt + 1L, decode);
        }
    }

    /** The figures, one of each a repetition. */
    record BenchFigures(Samples prefill, Samples decode, Samples step, Samples slowestStep, Samples firstToken) {
        BenchFigures() {
            this(new Samples(), new Samples(), new Samples(), new Samples(), new Samples());
        }
    }

    @Override
    public String name() {
        return "bench";
    }

    @Override
    public String synopsis() {
        return "MODEL [--prompt-tokens P] [--generate-tokens G] [--depth D] [--sequences N] [--sparse] [--json]";
    }

    @Override
    public String summary() {
        return "Measure tokens per second of prefill and decode, load time and memory";
    }

    @Override
    public String details() {
        return "After one warm-up, each repetition measures requests of random token ids. Decode: N sequences at once of D tokens "
                + "of context each (at least 1), then G tokens of each, timed as they reach their reader, from the first token of the "
                + "sequence that starts last; with that, the median and the slowest step. Prefill: one request of D + P tokens; the time "
                + "of one of D tokens is subtracted. Time to first token is that of the whole prefill request. End tokens are ignored. "
                + "Figures are medians, then minimum and maximum. With --sparse, one prefill of each length attends twice in every slice "
                + "and layer, to all keys and to those that sparse prefill chooses. It shows attention recall (the mean of all heads, the "
                + "worst head, the mean of the last slice), the share of keys computed, the seconds of attention to all keys, to the "
                + "chosen ones with choosing them, and of choosing alone, and those of the whole prefill.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--prompt-tokens", "P", "tokens of the measured prefill; 0 for none (default 512)"),
                Option.value("--generate-tokens", "G", "tokens of the measured decode; 0 for none (default 64)"),
                Option.value("--depth", "D", "tokens in the context before either (default 0)"),
                Option.value("--sequences", "N", "sequences that decode at once, 1 to 256 (default 1)"),
                Option.value("--repetitions", "R", "measurements (default 3)"),
                Option.value("--prompt-lookup", "K", "compute up to K tokens ahead where text repeats; 0 to 16 (default 0)"),
                Option.flag("--sparse", "measure sparse prefill, of lengths such as --prompt-tokens 16K,32K,64K (the default)"),
                Option.value("--file", "FILE", "with --sparse: a text to prefill (default random token ids); - is standard input"),
                Option.value("--follow", "dense|sparse", "with --sparse: whose output the next layer takes (default dense)"),
                Option.flag("--json", "print a JSON object"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        if (arguments.has("--sparse")) {
            BenchSparse.run(arguments, streams);
            return;
        }
        for (String option : List.of("--file", "--follow")) {
            if (arguments.has(option)) {
                throw new UsageException(option + " needs --sparse");
            }
        }
        Workload work = new Workload(
                arguments.integer("--prompt-tokens", 0, 512),
                arguments.integer("--generate-tokens", 0, 64),
                arguments.integer("--depth", 0, 0),
                arguments.integer("--sequences", 1, 1),
                arguments.integer("--prompt-lookup", 0, 0));
        if (work.sequences() > MOST_SEQUENCES) {
            throw new UsageException("--sequences must be at most " + MOST_SEQUENCES + ", found " + work.sequences());
        }
        if (work.lookup() > 16) {
            throw new UsageException("--prompt-lookup must be 0 to 16, found " + work.lookup());
        }
        if (work.lookup() > 0 && work.sequences() > 1) {
            throw new UsageException("--prompt-lookup is measured with one sequence, found --sequences " + work.sequences());
        }
        int repetitions = arguments.integer("--repetitions", 1, 3);
        if (work.prompt() == 0 && work.generate() == 0) {
            throw new UsageException("--prompt-tokens and --generate-tokens are both 0: nothing to measure");
        }
        long start = System.nanoTime();
        try (QwenModel model = CommonFlags.load(arguments, streams, loadOptions(arguments, work))) {
            double load = (System.nanoTime() - start) / 1e9;
            if (work.longest() > model.info().contextLength()) {
                throw new ToolException(work.longest() + " tokens are needed for these measurements, but the context holds "
                        + model.info().contextLength() + "; ask for fewer or raise --context");
            }
            BenchFigures figures = new BenchFigures();
            try (ProgressBar bar = new ProgressBar(streams.err())) {
                for (int i = -1; i < repetitions; i++) {
                    bar.progress("bench", i + 1, repetitions + 1);
                    measure(model, work, i < 0, figures);
                }
            }
            BenchReport report = new BenchReport(model.info(), work, repetitions, figures, model.stats(), load, PeakMemory.bytes());
            if (arguments.has("--json")) {
                streams.out().println(Json.write(report::write));
            } else {
                streams.out().print(report.table());
            }
        }
    }

    /** One full context holds a single sequence; several ones need room of their own, or they would take turns. */
    private static LoadOptions.Builder loadOptions(Arguments arguments, Workload work) {
        LoadOptions.Builder options = CommonFlags.loadOptions(arguments);
        if (work.sequences() > 1) {
            long tokens = Math.max(work.longest(), BenchDecode.cacheTokens(work.sequences(), work.depth(), work.generate()));
            if (tokens > Integer.MAX_VALUE) {
                throw new UsageException(
                        work.sequences() + " sequences need a cache of " + tokens + " tokens; ask for fewer or shorter ones");
            }
            options.cacheTokens((int) tokens).maxConcurrent(Math.max(work.sequences(), 8));
        }
        return options;
    }

    private static void measure(QwenModel model, Workload work, boolean warmUp, BenchFigures figures) {
        double depthSeconds = 0;
        if (work.generate() > 0) {
            BenchDecode decode = BenchDecode.measure(model, work);
            depthSeconds = seconds(decode.prefill());
            if (!warmUp) {
                figures.decode().add(decode.tokensPerSecond());
                figures.step().add(decode.steps().median());
                figures.slowestStep().add(decode.steps().max());
            }
        }
        if (work.prompt() > 0) {
            if (work.depth() > 0 && (work.generate() == 0 || work.sequences() > 1)) {
                depthSeconds = seconds(answer(model, work.depth()).timings().prefill());
            }
            GenerationResult result = answer(model, work.depth() + work.prompt());
            double own = seconds(result.timings().prefill()) - (work.depth() == 0 ? 0 : depthSeconds);
            if (!warmUp) {
                // Noise larger than the prefill itself leaves nothing to report.
                figures.prefill().add(own > 0 ? work.prompt() / own : Double.NaN);
                figures.firstToken().add(seconds(result.timings().queued().plus(result.timings().prefill())));
            }
        }
    }

    private static GenerationResult answer(QwenModel model, int promptTokens) {
        try (Generation generation = model.submit(BenchDecode.request(model, promptTokens, 1, 0, 0))) {
            return generation.await();
        }
    }

    private static double seconds(Duration duration) {
        return duration.toNanos() / 1e9;
    }
}
