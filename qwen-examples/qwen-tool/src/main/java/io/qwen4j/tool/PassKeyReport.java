package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonGenerator;
import io.qwen4j.ModelInfo;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** How many pass keys were found, as a table that grows row by row, or as JSON when all is measured. */
final class PassKeyReport {
    private final PassKeyCommand.Plan plan;
    private final List<Block> blocks = new ArrayList<>();

    /**
     * What was found at one length.
     *
     * @param length tokens of prompt and answer
     * @param promptTokens tokens of the longest prompt
     * @param found keys found at each depth
     */
    record Row(int length, int promptTokens, int[] found) {
        int total() {
            int total = 0;
            for (int count : found) {
                total += count;
            }
            return total;
        }
    }

    private record Block(PassKeyMode mode, ModelInfo model, List<Row> rows) {}

    PassKeyReport(PassKeyCommand.Plan plan) {
        this.plan = plan;
    }

    /** Begins the rows of a mode; returns what stands above them. */
    String begin(PassKeyMode mode, ModelInfo model) {
        StringBuilder text = new StringBuilder();
        if (blocks.isEmpty()) {
            line(text, "model", model.name());
            line(text, "backend", model.backend());
        }
        blocks.add(new Block(mode, model, new ArrayList<>()));
        text.append('\n');
        line(text, "mode", mode.label());
        line(text, "positions", model.positions());
        text.append(String.format(Locale.ROOT, "%8s", "length"));
        for (int i = 0; i < plan.depths(); i++) {
            text.append(String.format(Locale.ROOT, " %7s", Math.round(100 * plan.depth(i)) + " %"));
        }
        return text.append("     total\n").toString();
    }

    /** Takes the next row of the mode; returns it as text. */
    String add(Row row) {
        current().rows().add(row);
        return cells(String.valueOf(row.length()), row.found(), plan.trials());
    }

    /** Ends the rows of the mode; returns their sum as text. */
    String end() {
        List<Row> rows = current().rows();
        int[] found = new int[plan.depths()];
        for (Row row : rows) {
            for (int i = 0; i < found.length; i++) {
                found[i] += row.found()[i];
            }
        }
        return cells("total", found, plan.trials() * rows.size());
    }

    private Block current() {
        return blocks.get(blocks.size() - 1);
    }

    private static String cells(String name, int[] found, int trials) {
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "%8s", name));
        int total = 0;
        for (int count : found) {
            text.append(String.format(Locale.ROOT, " %7s", count + "/" + trials));
            total += count;
        }
        return text.append(String.format(Locale.ROOT, " %7.1f %%%n", 100.0 * total / ((long) trials * found.length)))
                .toString().replace("\r\n", "\n");
    }

    private static void line(StringBuilder text, String name, String value) {
        text.append(String.format(Locale.ROOT, "%-10s ", name)).append(value).append('\n');
    }

    void write(JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeStringField("model", current().model().name());
        json.writeStringField("backend", current().model().backend());
        json.writeNumberField("trials", plan.trials());
        json.writeNumberField("seed", plan.seed());
        json.writeArrayFieldStart("depths");
        for (int i = 0; i < plan.depths(); i++) {
            json.writeNumber(plan.depth(i));
        }
        json.writeEndArray();
        json.writeArrayFieldStart("modes");
        for (Block block : blocks) {
            json.writeStartObject();
            json.writeStringField("mode", block.mode().label());
            json.writeStringField("positions", block.model().positions());
            json.writeNumberField("context", block.model().contextLength());
            json.writeArrayFieldStart("lengths");
            for (Row row : block.rows()) {
                json.writeStartObject();
                json.writeNumberField("length", row.length());
                json.writeNumberField("prompt_tokens", row.promptTokens());
                json.writeFieldName("found");
                json.writeArray(row.found(), 0, row.found().length);
                json.writeNumberField("retrieval", (double) row.total() / ((long) plan.trials() * plan.depths()));
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
    }
}
