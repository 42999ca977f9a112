package io.qwen4j.core.filter;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.qwen4j.ModelFileException;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.filter.FilterException;
import io.qwen4j.filter.FilterException.Reason;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * How far a run is, as one JSON object in a file that is replaced as a whole: a reader finds the one before or the one after, whenever the
 * writer was killed.
 *
 * @param settings what the outputs depend on beside the input
 * @param inputBytes bytes of the input that are done
 * @param inputDigest SHA-256 of them
 * @param inputEnded whether the last of them is a line feed, or there are none
 * @param outputBytes bytes of the output that belong to them
 * @param rejectedBytes the same for what was rejected
 * @param totals what was counted
 */
record RunJournal(
        Map<String, String> settings,
        long inputBytes,
        String inputDigest,
        boolean inputEnded,
        long outputBytes,
        long rejectedBytes,
        RunTotals totals) {
    private static final String FORMAT = "qwen4j filter journal";
    private static final int VERSION = 1;
    /** Of 64 descriptions of 4,000 characters, a question of 20,000 and 10 messages of 500, escaped, it has less than 3 MB. */
    private static final int MOST_BYTES = 16 << 20;

    /** Reads a journal whose totals are of the given dimensions; only if the settings are those expected. */
    static RunJournal read(Path file, Map<String, String> expected, List<String> dimensions) {
        try {
            JsonObject json = JsonObject.read(file, MOST_BYTES);
            if (!json.string("format").equals(FORMAT) || json.integer("version") != VERSION) {
                throw new FilterException(Reason.JOURNAL, file, "expected a " + FORMAT + " of version " + VERSION + ", found \""
                        + json.string("format") + "\", version " + json.integer("version"), null);
            }
            Map<String, String> settings = new LinkedHashMap<>();
            JsonObject written = json.object("settings");
            for (String name : written.fields().keySet()) {
                settings.put(name, written.string(name));
            }
            check(file, settings, expected);
            JsonObject input = json.object("input");
            RunJournal journal = new RunJournal(
                    expected,
                    input.integer("bytes"),
                    input.string("sha256"),
                    input.bool("ended", false),
                    json.integer("output_bytes"),
                    json.integer("rejected_bytes"),
                    RunTotals.read(json.object("totals"), dimensions));
            journal.check(file);
            return journal;
        } catch (ModelFileException e) {
            throw new FilterException(Reason.JOURNAL, file, "expected the journal of a run, found another file or a damaged one ("
                    + e.getMessage() + "); overwriting begins anew", e);
        }
    }

    private void check(Path file) {
        if (inputBytes < 0 || outputBytes < 0 || rejectedBytes < 0) {
            throw new FilterException(Reason.JOURNAL, file, "expected lengths of at least 0, found " + inputBytes + ", " + outputBytes
                    + " and " + rejectedBytes, null);
        }
        if (totals.lines != totals.kept + totals.rejected + totals.blank) {
            throw new FilterException(Reason.JOURNAL, file, "expected lines that are kept, rejected or blank, found " + totals.lines
                    + " lines and " + totals.kept + ", " + totals.rejected + " and " + totals.blank, null);
        }
    }

    private static void check(Path file, Map<String, String> written, Map<String, String> expected) {
        Map<String, String> names = new LinkedHashMap<>(written);
        names.putAll(expected);
        StringBuilder differences = new StringBuilder();
        for (String name : names.keySet()) {
            if (!Objects.equals(written.get(name), expected.get(name)) && !mayChange(name, written.get(name))) {
                differences.append(differences.isEmpty() ? "" : "; ").append(name).append(" was ").append(shown(written.get(name)))
                        .append(", now ").append(shown(expected.get(name)));
            }
        }
        if (!differences.isEmpty()) {
            throw new FilterException(Reason.DIFFERENT, file,
                    "the run that it belongs to was another one: " + differences + "; repeat that run, or overwrite to begin anew", null);
        }
    }

    /** A run that was to fail at its first error had none, or none is counted: what becomes of errors may still be chosen. */
    private static boolean mayChange(String name, @Nullable String written) {
        return name.equals(FilterRun.ON_ERROR) && "FAIL".equals(written);
    }

    private static String shown(@Nullable String value) {
        if (value == null) {
            return "not set";
        }
        String line = value.replace("\n", "\\n");
        return "'" + (line.length() > 100 ? line.substring(0, 100) + "…" : line) + "'";
    }

    /** Replaces the file by this, and brings it to the disk. */
    void write(Path file) {
        Path next = file.resolveSibling(file.getFileName() + ".new");
        try {
            try (FileOutputStream out = new FileOutputStream(next.toFile())) {
                out.write(json().getBytes(StandardCharsets.UTF_8));
                out.getFD().sync();
            }
            Files.move(next, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new FilterException(Reason.IO, file, "writing failed: " + e.getMessage(), e);
        }
        forceDirectory(file);
    }

    private static void forceDirectory(Path file) {
        Path directory = Objects.requireNonNull(file.toAbsolutePath().getParent());
        try (FileChannel channel = FileChannel.open(directory)) {
            channel.force(true);
        } catch (IOException e) {
            // Some systems open no directories. Only a power failure could bring back the journal before, which is right, too.
            return;
        }
    }

    private String json() throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
            json.writeStartObject();
            json.writeStringField("format", FORMAT);
            json.writeNumberField("version", VERSION);
            json.writeObjectFieldStart("settings");
            for (Map.Entry<String, String> setting : settings.entrySet()) {
                json.writeStringField(setting.getKey(), setting.getValue());
            }
            json.writeEndObject();
            json.writeObjectFieldStart("input");
            json.writeNumberField("bytes", inputBytes);
            json.writeStringField("sha256", inputDigest);
            json.writeBooleanField("ended", inputEnded);
            json.writeEndObject();
            json.writeNumberField("output_bytes", outputBytes);
            json.writeNumberField("rejected_bytes", rejectedBytes);
            json.writeFieldName("totals");
            totals.write(json);
            json.writeEndObject();
        }
        return text.append('\n').toString();
    }
}
