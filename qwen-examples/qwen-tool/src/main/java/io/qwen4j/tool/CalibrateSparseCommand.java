package io.qwen4j.tool;

import io.qwen4j.SparseAttention;
import io.qwen4j.SparseCalibration;
import io.qwen4j.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Budgets for sparse prefill, found on a text. */
final class CalibrateSparseCommand implements Command {
    /** Long enough for budgets at depth, and some minutes of work with a small model. */
    private static final int MOST_UNASKED = 65_536;

    @Override
    public String name() {
        return "calibrate-sparse";
    }

    @Override
    public String synopsis() {
        return "MODEL --file FILE --output BUDGETS.json [--recall R] [--tokens N]";
    }

    @Override
    public String summary() {
        return "Find how many keys each head needs in sparse prefill";
    }

    @Override
    public String details() {
        return "Prefills the text with all keys. In about 32 slices of it each head gets as many columns (keys that all queries see) "
                + "and diagonals (distances) as it needs to keep the share R of its attention weight, averaged over the queries of the "
                + "slice. Writes them in the form of the published sparse_attention_config.json, for --sparse-prefill. The text should be "
                + "like the prompts to come and about as long.";
    }

    @Override
    public List<Option> options() {
        return List.of(
                Option.value("--file", "FILE", "a file of UTF-8 text; - is standard input"),
                Option.value("--output", "FILE", "the file of budgets to write; an existing one is replaced"),
                Option.value("--recall", "R", "share of the attention weight to keep, above 0 and below 1 (default 0.95)"),
                Option.value("--tokens", "N", "take the first N tokens of the text (default all, at most 65536)"),
                Option.flag("--json", "print a JSON object"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        String name = arguments.requiredText("--file");
        Path output = Path.of(arguments.requiredText("--output"));
        String recallText = arguments.text("--recall");
        double recall = recallText == null ? 0.95 : Arguments.number("--recall", recallText);
        if (!(recall > 0 && recall < 1)) {
            throw Arguments.wrong("--recall", "a number above 0 and below 1", recallText);
        }
        int count = arguments.integer("--tokens", 1, 0);
        Path model = CommonFlags.model(arguments);
        int[] tokens = firstTokens(Tokenizer.load(model).encode(TextFile.read(name, streams)), count, name);
        SparseCalibration found;
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            found = SparseAttention.calibrate(
                    model, CommonFlags.loadOptions(arguments).progress(bar).build(), tokens, recall, output, bar);
        }
        if (arguments.has("--json")) {
            streams.out().println(Json.write(json -> {
                json.writeStartObject();
                json.writeNumberField("tokens", tokens.length);
                json.writeNumberField("slices", found.slices());
                json.writeNumberField("mean_columns", found.meanColumns());
                json.writeNumberField("most_columns", found.mostColumns());
                json.writeNumberField("mean_diagonals", found.meanDiagonals());
                json.writeNumberField("most_diagonals", found.mostDiagonals());
                json.writeNumberField("mean_recall", found.meanRecall());
                json.writeNumberField("worst_recall", found.worstRecall());
                json.writeNumberField("keys", found.keys());
                json.writeEndObject();
            }));
        } else {
            streams.out().println(String.format(
                    Locale.ROOT,
                    "%d layers of %d heads, %d tokens: columns %.0f (at most %d), diagonals %.0f (at most %d), recall %.4f (worst %.4f), "
                            + "%.1f %% of the keys in the last slice",
                    found.layers(), found.heads(), tokens.length, found.meanColumns(), found.mostColumns(), found.meanDiagonals(),
                    found.mostDiagonals(), found.meanRecall(), found.worstRecall(), 100 * found.keys()));
        }
    }

    private static int[] firstTokens(int[] tokens, int count, String name) {
        if (count > tokens.length) {
            throw new ToolException(name + ": --tokens " + count + " were asked for, the text has " + tokens.length);
        }
        return Arrays.copyOf(tokens, count > 0 ? count : Math.min(tokens.length, MOST_UNASKED));
    }
}
