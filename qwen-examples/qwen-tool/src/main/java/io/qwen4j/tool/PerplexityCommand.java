package io.qwen4j.tool;

import io.qwen4j.QwenModel;
import io.qwen4j.Score;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** How well a model predicts a text. */
final class PerplexityCommand implements Command {
    /** What papers on quantization use; longer windows cost more and change little. */
    private static final int DEFAULT_WINDOW = 2048;

    @Override
    public String name() {
        return "perplexity";
    }

    @Override
    public String synopsis() {
        return "MODEL --file FILE [--context N] [--json]";
    }

    @Override
    public String summary() {
        return "Measure how well the model predicts a text";
    }

    @Override
    public String details() {
        return "The text is cut into windows of N tokens that do not overlap (default the model's context, at most "
                + DEFAULT_WINDOW
                + "); the last one may be shorter. Every token of a window but its first is scored, given those before it in the "
                + "window. Prints perplexity X tokens N, where X is e to the negative mean log-probability and N the number of "
                + "scored tokens. Control tokens in the text are recognised.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--file", "FILE", "a file of UTF-8 text; - is standard input"),
                Option.flag("--json", "print a JSON object"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        String name = arguments.requiredText("--file");
        String text = TextFile.read(name, streams);
        try (QwenModel model = CommonFlags.load(arguments, streams, CommonFlags.exactCache(arguments))) {
            int window = arguments.has("--context")
                    ? model.info().contextLength()
                    : Math.min(DEFAULT_WINDOW, model.info().contextLength());
            int[] tokens = model.tokenizer().encode(text);
            if (tokens.length < 2 || window < 2) {
                throw new ToolException(name + ": perplexity needs at least 2 tokens, found " + Math.min(tokens.length, window));
            }
            measure(model, tokens, window, arguments.has("--json"), streams);
        }
    }

    private static void measure(QwenModel model, int[] tokens, int window, boolean asJson, Streams streams) throws IOException {
        double total = 0;
        int count = 0;
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            for (int start = 0; start < tokens.length - 1; start += window) {
                bar.progress("perplexity", start, tokens.length);
                Score score = model.score(Arrays.copyOfRange(tokens, start, Math.min(tokens.length, start + window)));
                total += score.total();
                count += score.logProbabilities().size();
            }
        }
        double perplexity = Math.exp(-total / count);
        int scored = count;
        double logProbability = total;
        if (asJson) {
            streams.out().println(Json.write(json -> {
                json.writeStartObject();
                json.writeNumberField("perplexity", perplexity);
                json.writeNumberField("tokens", scored);
                json.writeNumberField("log_probability", logProbability);
                json.writeNumberField("text_tokens", tokens.length);
                json.writeNumberField("context", window);
                json.writeStringField("backend", model.info().backend());
                json.writeEndObject();
            }));
        } else {
            streams.out().println(String.format(Locale.ROOT, "perplexity %.6f tokens %d", perplexity, count));
        }
    }
}
