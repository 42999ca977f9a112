package io.qwen4j.tool;

import io.qwen4j.filter.FilterSummary;
import java.io.IOException;
import java.util.List;

/** Documents that a model finds good enough. */
final class FilterCommand implements Command {
    @Override
    public String name() {
        return "filter";
    }

    @Override
    public String synopsis() {
        return "MODEL --input FILE --output FILE [--dimension NAME=DESCRIPTION]… [--min X] [--max X] [--json]";
    }

    @Override
    public String summary() {
        return "Score documents with the model and keep the good ones";
    }

    @Override
    public String details() {
        return "Input and output are JSON Lines. An instruct model rates each document along the dimensions: its score is the "
                + "expected value of the rating under the probabilities of the digits, computed from one prefill without "
                + "generating; the document is computed once for all dimensions. --score perplexity takes the perplexity of the "
                + "document instead, --score reward what a reward model says of it as an answer. Lines that pass all thresholds are "
                + "kept in their order, byte for byte but for a field with the scores before the closing brace; blank lines are "
                + "left out. Control tokens in documents are ordinary text. Killed at any point, the same command goes on where it "
                + "was, and the output is that of a run that was not killed; OUTPUT.journal says how far it is, and remains. With "
                + "another model, other options or changed lines it is refused; --on-error may be given after a run that an error "
                + "ended. The input may grow: the same command then filters what is new. What is shown at the end counts all runs.";
    }

    @Override
    public List<Option> options() {
        return FilterFlags.OPTIONS;
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        FilterFlags flags = FilterFlags.of(arguments, streams);
        // Before a model is loaded for nothing.
        flags.files().check();
        try (FilterFlags.Opened opened = flags.open(arguments)) {
            FilterSummary summary;
            try (FilterLine line = new FilterLine(streams.err())) {
                summary = flags.filter(opened.scorer()).run(flags.files(), line);
            }
            FilterReport report = new FilterReport(summary, opened.info());
            if (arguments.has("--json")) {
                streams.out().println(Json.write(report::write));
            } else {
                streams.out().print(report.text());
            }
            streams.err().print(report.warnings());
            streams.err().flush();
        }
    }
}
