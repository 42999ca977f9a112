package io.qwen4j.core.filter;

import com.fasterxml.jackson.core.JsonGenerator;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.filter.DimensionScore;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import io.qwen4j.filter.FilterSummary;
import io.qwen4j.filter.FilterSummary.DimensionSummary;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** What a run counts, those before it that it resumed included. Lines come in order, so sums are the same however often it was resumed. */
final class RunTotals {
    private static final int MOST_MESSAGE = 500;

    long lines;
    long kept;
    long rejected;
    long blank;
    private long truncated;
    private long tokens;
    private long scoredTokens;
    private long scored;
    private final List<String> names;
    private final double[] sums;
    private final double[] least;
    private final double[] most;
    private final double[] masses;
    private final Map<Reason, Long> errors = new EnumMap<>(Reason.class);
    private final List<String> firstErrors = new ArrayList<>();

    RunTotals(List<String> names) {
        this.names = names;
        sums = new double[names.size()];
        least = new double[names.size()];
        most = new double[names.size()];
        masses = new double[names.size()];
    }

    /** Goes on where a journal ended. */
    static RunTotals read(JsonObject json, List<String> names) {
        RunTotals totals = new RunTotals(names);
        totals.lines = json.integer("lines");
        totals.kept = json.integer("kept");
        totals.rejected = json.integer("rejected");
        totals.blank = json.integer("blank");
        totals.truncated = json.integer("truncated");
        totals.tokens = json.integer("tokens");
        totals.scoredTokens = json.integer("scored_tokens");
        totals.scored = json.integer("scored");
        JsonObject dimensions = json.object("dimensions");
        for (int i = 0; i < names.size(); i++) {
            JsonObject dimension = dimensions.object(names.get(i));
            totals.sums[i] = dimension.number("sum");
            totals.least[i] = dimension.number("least");
            totals.most[i] = dimension.number("most");
            totals.masses[i] = dimension.number("mass");
        }
        JsonObject errors = json.object("errors");
        for (Reason reason : Reason.values()) {
            if (errors.has(reason.name())) {
                totals.errors.put(reason, errors.integer(reason.name()));
            }
        }
        json.list("first_errors").forEach(message -> totals.firstErrors.add(String.valueOf(message)));
        return totals;
    }

    void write(JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeNumberField("lines", lines);
        json.writeNumberField("kept", kept);
        json.writeNumberField("rejected", rejected);
        json.writeNumberField("blank", blank);
        json.writeNumberField("truncated", truncated);
        json.writeNumberField("tokens", tokens);
        json.writeNumberField("scored_tokens", scoredTokens);
        json.writeNumberField("scored", scored);
        json.writeObjectFieldStart("dimensions");
        for (int i = 0; i < names.size(); i++) {
            json.writeObjectFieldStart(names.get(i));
            json.writeNumberField("sum", sums[i]);
            json.writeNumberField("least", least[i]);
            json.writeNumberField("most", most[i]);
            json.writeNumberField("mass", masses[i]);
            json.writeEndObject();
        }
        json.writeEndObject();
        json.writeObjectFieldStart("errors");
        for (Map.Entry<Reason, Long> error : errors.entrySet()) {
            json.writeNumberField(error.getKey().name(), error.getValue());
        }
        json.writeEndObject();
        json.writeArrayFieldStart("first_errors");
        for (String message : firstErrors) {
            json.writeString(message);
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    void add(DocumentScores scores) {
        if (!scores.dimensions().stream().map(DimensionScore::dimension).toList().equals(names)) {
            throw new IllegalStateException("the scorer has the dimensions " + names + ", but gave " + scores.dimensions());
        }
        tokens += scores.tokens();
        scoredTokens += scores.scoredTokens();
        truncated += scores.truncated() ? 1 : 0;
        for (int i = 0; i < sums.length; i++) {
            DimensionScore score = scores.dimensions().get(i);
            sums[i] += score.value();
            least[i] = scored == 0 ? score.value() : Math.min(least[i], score.value());
            most[i] = scored == 0 ? score.value() : Math.max(most[i], score.value());
            masses[i] += score.mass();
        }
        scored++;
    }

    void add(DocumentException error) {
        errors.merge(error.reason(), 1L, Long::sum);
        if (firstErrors.size() < FilterSummary.MOST_ERRORS) {
            String message = String.valueOf(error.getMessage());
            firstErrors.add(message.length() > MOST_MESSAGE ? message.substring(0, MOST_MESSAGE) + "…" : message);
        }
    }

    long scoredTokens() {
        return scoredTokens;
    }

    FilterSummary summary(long resumedLines, Duration elapsed) {
        List<DimensionSummary> dimensions = new ArrayList<>();
        for (int i = 0; i < sums.length; i++) {
            dimensions.add(new DimensionSummary(
                    names.get(i),
                    scored,
                    sums[i] / scored,
                    scored == 0 ? Double.NaN : least[i],
                    scored == 0 ? Double.NaN : most[i],
                    masses[i] / scored));
        }
        return new FilterSummary(
                lines, kept, rejected, blank, truncated, tokens, scoredTokens, dimensions, errors, firstErrors, resumedLines, elapsed);
    }
}
