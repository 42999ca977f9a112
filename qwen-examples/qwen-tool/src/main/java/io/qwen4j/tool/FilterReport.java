package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonGenerator;
import io.qwen4j.ModelInfo;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.FilterSummary;
import io.qwen4j.filter.FilterSummary.DimensionSummary;
import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * What a filter did, as text or as JSON.
 *
 * @param summary what it did
 * @param model with which model
 */
record FilterReport(FilterSummary summary, ModelInfo model) {
    /** Below this part of its probability a model does not do what it is asked. */
    private static final double LEAST_MASS = 0.5;

    String text() {
        StringBuilder text = new StringBuilder();
        line(text, "model", model.name());
        line(text, "backend", model.backend());
        line(
                text,
                "lines",
                summary.lines() + (summary.resumedLines() == 0 ? "" : ", " + summary.resumedLines() + " of them in earlier runs"));
        long judged = summary.kept() + summary.rejected();
        line(text, "kept", summary.kept() + (judged == 0 ? "" : String.format(Locale.ROOT, " (%.1f %%)", 100.0 * summary.kept() / judged)));
        line(text, "rejected", String.valueOf(summary.rejected()));
        if (summary.failed() > 0) {
            line(text, "failed", summary.failed() + " " + new TreeMap<>(summary.errors()));
        }
        if (summary.blank() > 0) {
            line(text, "blank", String.valueOf(summary.blank()));
        }
        line(text, "tokens", String.valueOf(summary.tokens()));
        if (summary.truncated() > 0) {
            line(text, "truncated", summary.truncated() + " documents, " + summary.scoredTokens() + " tokens scored");
        }
        for (DimensionSummary dimension : summary.dimensions()) {
            if (dimension.scored() > 0) {
                line(text, dimension.dimension(), String.format(
                        Locale.ROOT, "mean %.3f, %.3f to %.3f", dimension.mean(), dimension.least(), dimension.most())
                        + (dimension.meanMass() == 1 ? "" : String.format(Locale.ROOT, ", mass %.1f %%", 100 * dimension.meanMass())));
            }
        }
        double seconds = Math.max(1e-9, summary.elapsed().toNanos() / 1e9);
        line(text, "time", String.format(
                Locale.ROOT, "%s, %.1f lines/s", FilterLine.time(summary.elapsed()), (summary.lines() - summary.resumedLines()) / seconds));
        return text.toString();
    }

    private static void line(StringBuilder text, String name, String value) {
        text.append(String.format(Locale.ROOT, "%-10s ", name)).append(value).append('\n');
    }

    /** What a reader of the figures should know. */
    String warnings() {
        StringBuilder text = new StringBuilder();
        summary.firstErrors().forEach(message -> text.append("qwen: not scored: ").append(message).append('\n'));
        if (summary.failed() > summary.firstErrors().size()) {
            text.append("qwen: not scored: ").append(summary.failed() - summary.firstErrors().size()).append(" more\n");
        }
        for (DimensionSummary dimension : summary.dimensions()) {
            if (dimension.meanMass() < LEAST_MASS) {
                text.append(String.format(
                        Locale.ROOT,
                        "qwen: warning: on %s the model gives %.1f %% of its probability to the ratings; it does not do what it is asked\n",
                        dimension.dimension(),
                        100 * dimension.meanMass()));
            }
        }
        return text.toString();
    }

    void write(JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeStringField("model", model.name());
        json.writeStringField("backend", model.backend());
        json.writeNumberField("lines", summary.lines());
        json.writeNumberField("kept", summary.kept());
        json.writeNumberField("rejected", summary.rejected());
        json.writeNumberField("failed", summary.failed());
        json.writeNumberField("blank", summary.blank());
        json.writeNumberField("truncated", summary.truncated());
        json.writeNumberField("tokens", summary.tokens());
        json.writeNumberField("scored_tokens", summary.scoredTokens());
        json.writeNumberField("resumed_lines", summary.resumedLines());
        json.writeNumberField("seconds", summary.elapsed().toNanos() / 1e9);
        json.writeObjectFieldStart("dimensions");
        for (DimensionSummary dimension : summary.dimensions()) {
            json.writeObjectFieldStart(dimension.dimension());
            json.writeNumberField("scored", dimension.scored());
            if (dimension.scored() > 0) {
                json.writeNumberField("mean", dimension.mean());
                json.writeNumberField("least", dimension.least());
                json.writeNumberField("most", dimension.most());
                json.writeNumberField("mass", dimension.meanMass());
            }
            json.writeEndObject();
        }
        json.writeEndObject();
        json.writeObjectFieldStart("errors");
        for (Map.Entry<DocumentException.Reason, Long> error : new TreeMap<>(summary.errors()).entrySet()) {
            json.writeNumberField(error.getKey().name(), error.getValue());
        }
        json.writeEndObject();
        json.writeArrayFieldStart("first_errors");
        for (String message : summary.firstErrors()) {
            json.writeString(message);
        }
        json.writeEndArray();
        json.writeEndObject();
    }
}
