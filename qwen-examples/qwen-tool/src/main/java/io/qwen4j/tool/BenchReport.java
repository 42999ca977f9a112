package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonGenerator;
import io.qwen4j.EngineStats;
import io.qwen4j.ModelInfo;
import java.io.IOException;
import java.util.Locale;

/** The figures of a measurement, as JSON or as a table. */
record BenchReport(
        ModelInfo model,
        BenchCommand.Workload work,
        int repetitions,
        BenchCommand.BenchFigures figures,
        EngineStats stats,
        double loadSeconds,
        long peakBytes) {
    void write(JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeStringField("model", model.name());
        json.writeStringField("backend", model.backend());
        json.writeNumberField("parameters", model.parameters());
        json.writeNumberField("active_parameters", model.activeParameters());
        json.writeNumberField("weight_bytes", model.weightBytes());
        json.writeNumberField("prompt_tokens", work.prompt());
        json.writeNumberField("generate_tokens", work.generate());
        json.writeNumberField("depth", work.depth());
        json.writeNumberField("sequences", work.sequences());
        json.writeNumberField("repetitions", repetitions);
        write(json, "prefill_tokens_per_second", figures.prefill());
        write(json, "decode_tokens_per_second", figures.decode());
        write(json, "decode_step_seconds", figures.step());
        write(json, "decode_slowest_step_seconds", figures.slowestStep());
        write(json, "time_to_first_token_seconds", figures.firstToken());
        json.writeNumberField("prompt_lookup", work.lookup());
        json.writeNumberField("drafted_tokens", stats.draftedTokens());
        json.writeNumberField("accepted_tokens", stats.acceptedTokens());
        json.writeNumberField("load_seconds", loadSeconds);
        if (peakBytes < 0) {
            json.writeNullField("peak_rss_bytes");
        } else {
            json.writeNumberField("peak_rss_bytes", peakBytes);
        }
        json.writeEndObject();
    }

    private static void write(JsonGenerator json, String name, Samples samples) throws IOException {
        if (samples.isEmpty()) {
            json.writeNullField(name);
            return;
        }
        json.writeNumberField(name, samples.median());
        json.writeNumberField(name + "_min", samples.min());
        json.writeNumberField(name + "_max", samples.max());
    }

    String table() {
        StringBuilder text = new StringBuilder();
        String active = model.experts() == 0 ? "" : String.format(
                Locale.ROOT, " (%,d active, %d of %d experts)", model.activeParameters(), model.expertsUsed(), model.experts());
        line(text, "model", String.format(
                Locale.ROOT, "%s, %,d parameters%s, weights %.1f MB", model.name(), model.parameters(), active, model.weightBytes() / 1e6));
        line(text, "backend", model.backend());
        line(text, "prefill", work.prompt() + " tokens at depth " + work.depth() + ": " + figures.prefill().text() + " tokens/s");
        String of = work.sequences() == 1 ? "" : " of each of " + work.sequences() + " sequences";
        line(text, "decode", work.generate() + " tokens" + of + " at depth " + work.depth() + ": " + figures.decode().text() + " tokens/s");
        if (!figures.step().isEmpty()) {
            line(text, "decode step", String.format(
                    Locale.ROOT, "%.2f ms, slowest %.2f ms", 1e3 * figures.step().median(), 1e3 * figures.slowestStep().max()));
        }
        if (work.lookup() > 0) {
            line(text, "lookup", stats.acceptedTokens() + " of " + stats.draftedTokens() + " tokens computed ahead came true");
        }
        line(text, "first token", figures.firstToken().text() + " s");
        line(text, "load", String.format(Locale.ROOT, "%.3f s", loadSeconds));
        line(text, "peak memory", peakBytes < 0 ? "unknown" : String.format(Locale.ROOT, "%.1f MB", peakBytes / 1e6));
        return text.toString();
    }

    private static void line(StringBuilder text, String name, String value) {
        text.append(String.format(Locale.ROOT, "%-12s ", name)).append(value).append('\n');
    }
}
