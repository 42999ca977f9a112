package io.qwen4j.core.format;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.model.SparseBudgets;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.BitSet;
import java.util.Locale;
import java.util.UUID;

/**
 * The published {@code sparse_attention_config.json}: a list over the layers of objects
 * {@code {"head": ["vertical_and_slash", columns, diagonals, score], ...}}.
 *
 * <p>A stored number of columns of 30 means 130, as vLLM reads it. So a budget of 30 is written as 31, and files are interchangeable.
 */
public final class SparseBudgetsFile {
    /** Name of the published file. */
    public static final String NAME = "sparse_attention_config.json";

    /** The file of the 72B shape, 5,120 heads, has 300 KB. */
    private static final long MAX_BYTES = 16 << 20;
    /** Sixteen times the longest published context. */
    private static final int MAX_BUDGET = 1 << 24;
    private static final String KIND = "vertical_and_slash";
    private static final int STORED_FOR_MORE = 30;
    private static final int MORE = 130;

    private final ModelFile file;
    private final JsonParser parser;
    private final SparseBudgets budgets;

    private SparseBudgetsFile(ModelFile file, JsonParser parser, SparseBudgets budgets) {
        this.file = file;
        this.parser = parser;
        this.budgets = budgets;
    }

    /**
     * Reads budgets.
     *
     * @param layers layers of the model that they are for
     * @param heads its query heads
     * @throws io.qwen4j.ModelFileException if the file is not of this form or not for such a model
     */
    public static SparseBudgets read(Path path, int layers, int heads) {
        try (ModelFile file = ModelFile.open(path)) {
            if (file.size() > MAX_BYTES) {
                throw file.error(Reason.LIMIT, "a size of " + file.size() + " bytes, at most " + MAX_BYTES + " are read");
            }
            return Json.read(file, 0, file.size(), parser -> {
                SparseBudgets budgets = new SparseBudgets(layers, heads);
                new SparseBudgetsFile(file, parser, budgets).layers();
                return budgets;
            });
        }
    }

    private void layers() throws IOException {
        Json.expect(file, parser, parser.nextToken(), JsonToken.START_ARRAY, "the file");
        int layer = 0;
        for (; parser.nextToken() != JsonToken.END_ARRAY; layer++) {
            if (layer == budgets.layers()) {
                throw file.error(Reason.SHAPE, "budgets for more layers than the " + budgets.layers() + " of the model");
            }
            Json.expect(file, parser, parser.currentToken(), JsonToken.START_OBJECT, "layer " + layer);
            heads(layer);
        }
        if (layer < budgets.layers()) {
            throw file.error(Reason.SHAPE, "budgets for " + layer + " layers, the model has " + budgets.layers());
        }
    }

    private void heads(int layer) throws IOException {
        BitSet found = new BitSet();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            int head = head(layer, Json.name(file, parser));
            String item = "layer " + layer + ", head " + head;
            if (found.get(head)) {
                throw file.error(Reason.DUPLICATE, item + " occurs twice");
            }
            found.set(head);
            parser.nextToken();
            budget(layer, head, item);
        }
        if (found.cardinality() < budgets.heads()) {
            throw file.error(Reason.SHAPE, "layer " + layer + ", head " + found.nextClearBit(0) + " is missing; the model has "
                    + budgets.heads() + " heads");
        }
    }

    private int head(int layer, String name) {
        // Plain digits: "+1" and "01" would be other names of a head.
        if (!name.matches("0|[1-9][0-9]{0,8}") || Integer.parseInt(name) >= budgets.heads()) {
            throw file.error(Reason.SHAPE, "layer " + layer + " has a head \"" + name + "\", expected 0 to " + (budgets.heads() - 1));
        }
        return Integer.parseInt(name);
    }

    private void budget(int layer, int head, String item) throws IOException {
        Json.expect(file, parser, parser.currentToken(), JsonToken.START_ARRAY, item);
        Json.expect(file, parser, parser.nextToken(), JsonToken.VALUE_STRING, item + ": the kind");
        if (!parser.getText().equals(KIND)) {
            throw file.error(
                    Reason.UNSUPPORTED, item + " is of kind \"" + parser.getText() + "\", which is not supported; " + KIND + " is");
        }
        int columns = integer(item + ": the number of columns");
        int diagonals = integer(item + ": the number of diagonals");
        double score = number(item + ": the score");
        Json.expect(file, parser, parser.nextToken(), JsonToken.END_ARRAY, item + ": what follows the score");
        budgets.set(layer, head, columns == STORED_FOR_MORE ? MORE : columns, diagonals, score);
    }

    private int integer(String item) throws IOException {
        Json.expect(file, parser, parser.nextToken(), JsonToken.VALUE_NUMBER_INT, item);
        if (parser.getBigIntegerValue().bitLength() > 31 || parser.getIntValue() < 0 || parser.getIntValue() > MAX_BUDGET) {
            throw file.error(Reason.CONFIG, item + " is " + parser.getText() + ", expected 0 to " + MAX_BUDGET);
        }
        return parser.getIntValue();
    }

    private double number(String item) throws IOException {
        if (parser.nextToken() != JsonToken.VALUE_NUMBER_INT) {
            Json.expect(file, parser, parser.currentToken(), JsonToken.VALUE_NUMBER_FLOAT, item);
        }
        double value = parser.getDoubleValue();
        if (!Double.isFinite(value)) {
            throw file.error(Reason.CONFIG, item + " is " + value + ", expected a finite number");
        }
        return value;
    }

    /**
     * Writes budgets. The file appears when it is complete.
     *
     * @param output the file to write; an existing one is replaced
     * @throws io.qwen4j.ModelFileException if writing fails
     */
    public static void write(SparseBudgets budgets, Path output) {
        Path absolute = output.toAbsolutePath();
        Path temporary = absolute.resolveSibling("." + absolute.getFileName() + "." + UUID.randomUUID() + ".part");
        try {
            try {
                Files.write(temporary, text(budgets).getBytes(StandardCharsets.UTF_8));
                Files.move(temporary, absolute, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(temporary);
            }
        } catch (IOException e) {
            throw FormatError.of(Reason.IO, output, "cannot be written: " + e, e);
        }
    }

    private static String text(SparseBudgets budgets) {
        StringBuilder text = new StringBuilder("[");
        for (int layer = 0; layer < budgets.layers(); layer++) {
            text.append(layer == 0 ? "\n{" : ",\n{");
            for (int head = 0; head < budgets.heads(); head++) {
                int columns = budgets.columns(layer, head);
                text.append(String.format(
                        Locale.ROOT, "%s\"%d\": [\"%s\", %d, %d, %.6f]", head == 0 ? "" : ", ", head, KIND,
                        columns == STORED_FOR_MORE ? columns + 1 : columns, budgets.diagonals(layer, head),
                        budgets.score(layer, head)));
            }
            text.append('}');
        }
        return text.append("\n]\n").toString();
    }
}
