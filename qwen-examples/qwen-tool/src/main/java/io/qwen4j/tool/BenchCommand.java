package io.qwen4j.tool;

import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;

/** How fast a model computes. */
final class BenchCommand implements Command {
    @Override
    public String name() {
        return "bench";
    }

    @Override
    public String synopsis() {
        return "MODEL [--prompt-tokens P] [--generate-tokens G] [--depth D] [--repetitions R] [--json]";
    }

    @Override
    public String summary() {
        return "Measure tokens per second of prefill and decode, load time and memory";
    }

    @Override
    public String details() {
        return "After one warm-up, each repetition measures two requests of random token ids. Decode: D tokens of context (at "
                + "least 1), then G tokens, timed from the first of them. Prefill: D + P tokens; the time that the first request "
                + "took for its D tokens is subtracted. Time to first token is that of the whole second request. End tokens are "
                + "ignored. Figures are medians, then minimum and maximum.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--prompt-tokens", "P", "tokens of the measured prefill; 0 for none (default 512)"),
                Option.value("--generate-tokens", "G", "tokens of the measured decode; 0 for none (default 64)"),
                Option.value("--depth", "D", "tokens in the context before either (default 0)"),
                Option.value("--repetitions", "R", "measurements (default 3)"),
                Option.flag("--json", "print a JSON object"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        int prompt = arguments.integer("--prompt-tokens", 0, 512);
        int generate = arguments.integer("--generate-tokens", 0, 64);
        int depth = arguments.integer("--depth", 0, 0);
        int repetitions = arguments.integer("--repetitions", 1, 3);
        if (prompt == 0 && generate == 0) {
            throw new UsageException("--prompt-tokens and --generate-tokens are both 0: nothing to measure");
        }
        long start = System.nanoTime();
        try (QwenModel model = CommonFlags.load(arguments, streams)) {
            double load = (System.nanoTime() - start) / 1e9;
            long needed = (long) depth + Math.max(prompt + 1L, generate + 2L);
            if (needed > model.info().contextLength()) {
                throw new ToolException(needed + " tokens are needed for these measurements, but the context holds "
                        + model.info().contextLength() + "; ask for fewer or raise --context");
            }
            Samples prefill = new Samples();
            Samples decode = new Samples();
            Samples firstToken = new Samples();
            try (ProgressBar bar = new ProgressBar(streams.err())) {
                for (int i = -1; i < repetitions; i++) {
                    bar.progress("bench", i + 1, repetitions + 1);
                    measure(model, prompt, generate, depth, i < 0, prefill, decode, firstToken);
                }
            }
            BenchReport report = new BenchReport(
                    model.info(), prompt, generate, depth, repetitions, prefill, decode, firstToken, load, PeakMemory.bytes());
            if (arguments.has("--json")) {
                streams.out().println(Json.write(report::write));
            } else {
                streams.out().print(report.table());
            }
        }
    }

    private static void measure(
            QwenModel model, int prompt, int generate, int depth, boolean warmUp, Samples prefill, Samples decode, Samples firstToken) {
        double depthSeconds = 0;
        if (generate > 0 || depth > 0) {
            GenerationResult result = answer(model, Math.max(1, depth), generate + 1);
            depthSeconds = depth == 0 ? 0 : seconds(result.timings().prefill());
            if (generate > 0 && !warmUp) {
                // The first token belongs to the prefill: G tokens follow it.
                decode.add((result.usage().completionTokens() - 1) / seconds(result.timings().decode()));
            }
        }
        if (prompt > 0) {
            GenerationResult result = answer(model, depth + prompt, 1);
            double own = seconds(result.timings().prefill()) - depthSeconds;
            if (!warmUp) {
                // Noise larger than the prefill itself leaves nothing to report.
                prefill.add(own > 0 ? prompt / own : Double.NaN);
                firstToken.add(seconds(result.timings().queued().plus(result.timings().prefill())));
            }
        }
    }

    private static GenerationResult answer(QwenModel model, int promptTokens, int maxTokens) {
        GenerationOptions options = GenerationOptions.builder()
                .sampling(SamplingOptions.GREEDY)
                .maxTokens(maxTokens)
                .ignoreEndTokens(true)
                .build();
        int rows = model.info().vocabularyRows();
        SplittableRandom random = new SplittableRandom(promptTokens);
        List<Integer> ids = new ArrayList<>();
        for (int i = 0; i < promptTokens; i++) {
            ids.add(random.nextInt(rows));
        }
        try (Generation generation = model.submit(new GenerationRequest.Tokens(ids, options))) {
            return generation.await();
        }
    }

    private static double seconds(Duration duration) {
        return duration.toNanos() / 1e9;
    }

    /** Measurements of one thing. */
    static final class Samples {
        private final List<Double> values = new ArrayList<>();

        void add(double value) {
            if (Double.isFinite(value)) {
                values.add(value);
            }
        }

        boolean isEmpty() {
            return values.isEmpty();
        }

        double median() {
            List<Double> sorted = values.stream().sorted().toList();
            int half = sorted.size() / 2;
            return sorted.size() % 2 == 1 ? sorted.get(half) : (sorted.get(half - 1) + sorted.get(half)) / 2;
        }

        double min() {
            return values.stream().mapToDouble(Double::doubleValue).min().orElseThrow();
        }

        double max() {
            return values.stream().mapToDouble(Double::doubleValue).max().orElseThrow();
        }

        String text() {
            return isEmpty() ? "-" : String.format(Locale.ROOT, "%.2f (%.2f to %.2f)", median(), min(), max());
        }
    }
}
