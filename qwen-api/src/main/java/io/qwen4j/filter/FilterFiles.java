package io.qwen4j.filter;

import io.qwen4j.filter.FilterException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The files of a run from file to file, and what their lines look like. Input and outputs are JSON Lines: UTF-8, a JSON object a line.
 * Immutable; made with {@link #builder(Path, Path)}.
 *
 * <p>Lines of the output are those of the input, byte for byte, in their order, with the scores as one more field before the closing brace;
 * the last line gets an end if it had none, and blank lines are left out.
 *
 * <p>Beside the output stands a journal, named like it with {@value #JOURNAL_SUFFIX} after it. It says how far the run is; it is replaced
 * twice a second in one step, after the outputs were forced to the disk. A run that finds it goes on there: outputs are cut to the lengths
 * that it tells, and what followed is computed again, so a run that was killed at any point and resumed leaves the bytes of one that was
 * not. It goes on only with the same model, options and lines so far; the input may have grown. When all is done the journal remains, and
 * the same run again finds nothing to do.
 *
 * @param input the file to read, a regular one
 * @param output the file of what is kept
 * @param rejected the file of what is not, or null for none
 * @param field the name of the document's field, a string
 * @param scoreField the name of the field that scores are written to; an input that has it already cannot be scored
 * @param mostLineBytes most bytes of a line, 64 to 1 GiB; a longer one is an error and is never held in memory
 * @param overwrite whether to begin anew and replace outputs and journal
 */
public record FilterFiles(
        Path input, Path output, @Nullable Path rejected, String field, String scoreField, int mostLineBytes, boolean overwrite) {
    /** Follows the output's name in the journal's. */
    public static final String JOURNAL_SUFFIX = ".journal";

    private static final int LEAST_LINE = 64;
    private static final int MOST_LINE = 1 << 30;
    private static final int MOST_NAME = 1000;

    /** Checks names and sizes; looks at no file; {@link #check()} does. */
    public FilterFiles {
        Objects.requireNonNull(input, "input");
        Objects.requireNonNull(output, "output");
        checkName("field", field);
        checkName("scoreField", scoreField);
        if (field.equals(scoreField)) {
            throw new IllegalArgumentException("field and scoreField must differ, found '" + field + "' twice");
        }
        if (mostLineBytes < LEAST_LINE || mostLineBytes > MOST_LINE) {
            throw new IllegalArgumentException(
                    "mostLineBytes must be " + LEAST_LINE + " to " + MOST_LINE + ", found " + mostLineBytes);
        }
        if (output.getFileName() == null) {
            throw new IllegalArgumentException("output must have a file name, found '" + output + "'");
        }
    }

    private static void checkName(String what, String name) {
        if (name.isEmpty() || name.length() > MOST_NAME) {
            throw new IllegalArgumentException(what + " must have 1 to " + MOST_NAME + " characters, found " + name.length());
        }
    }

    /**
     * The file that says how far the run is.
     *
     * @return the journal beside the output
     */
    public Path journal() {
        return output.resolveSibling(output.getFileName() + JOURNAL_SUFFIX);
    }

    /**
     * Looks whether a run could begin, as it does itself: to be told before a model is loaded. Changes nothing.
     *
     * @throws FilterException if the input is no file, two of the files are the same, or an output is there that no journal knows
     */
    public void check() {
        if (!Files.exists(input)) {
            throw new FilterException(Reason.FILE, input, "there is no such file", null);
        }
        if (!Files.isRegularFile(input)) {
            throw new FilterException(Reason.FILE, input, "expected a regular file to read, found "
                    + (Files.isDirectory(input) ? "a directory" : "a special file"), null);
        }
        List<Path> outputs = rejected == null ? List.of(output) : List.of(output, rejected);
        List<Path> all = new ArrayList<>(outputs);
        all.add(journal());
        all.add(input);
        for (int i = 0; i < all.size(); i++) {
            for (int k = 0; k < i; k++) {
                if (same(all.get(i), all.get(k))) {
                    throw new FilterException(
                            Reason.SAME_FILE, all.get(k), "input, output, rejected and journal must be different files", null);
                }
            }
        }
        if (!overwrite && !Files.exists(journal())) {
            outputs.forEach(this::checkNew);
        }
    }

    private static boolean same(Path a, Path b) {
        if (a.toAbsolutePath().normalize().equals(b.toAbsolutePath().normalize())) {
            return true;
        }
        try {
            return Files.exists(a) && Files.exists(b) && Files.isSameFile(a, b);
        } catch (IOException e) {
            throw new FilterException(Reason.IO, a, "cannot be compared with " + b + ": " + e.getMessage(), e);
        }
    }

    /** A file without bytes is taken: a run that was killed before its first journal leaves one. */
    private void checkNew(Path file) {
        try {
            if (Files.isRegularFile(file) && Files.size(file) > 0) {
                throw new FilterException(Reason.EXISTS, file, "exists, but there is no " + journal()
                        + " that says which run wrote it; choose another file, or overwrite", null);
            }
        } catch (IOException e) {
            throw new FilterException(Reason.IO, file, "cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * Starts from the defaults.
     *
     * @param input the file to read
     * @param output the file of what is kept
     * @return a new builder
     */
    public static Builder builder(Path input, Path output) {
        return new Builder(input, output);
    }

    /** Collects options. Not thread-safe. */
    public static final class Builder {
        private final Path input;
        private final Path output;
        private @Nullable Path rejected;
        private String field = "text";
        private String scoreField = "quality";
        private int mostLineBytes = 16 << 20;
        private boolean overwrite;

        private Builder(Path input, Path output) {
            this.input = input;
            this.output = output;
        }

        /**
         * Sets the file of what does not pass.
         *
         * @param file the file, or null for none
         * @return this builder
         */
        public Builder rejected(@Nullable Path file) {
            this.rejected = file;
            return this;
        }

        /**
         * Sets the name of the document's field.
         *
         * @param name the name (default {@code text})
         * @return this builder
         */
        public Builder field(String name) {
            this.field = name;
            return this;
        }

        /**
         * Sets the name of the field that scores are written to.
         *
         * @param name the name (default {@code quality})
         * @return this builder
         */
        public Builder scoreField(String name) {
            this.scoreField = name;
            return this;
        }

        /**
         * Sets the most bytes of a line.
         *
         * @param bytes 64 to 1 GiB (default 16 MiB)
         * @return this builder
         */
        public Builder mostLineBytes(int bytes) {
            this.mostLineBytes = bytes;
            return this;
        }

        /**
         * Sets whether to begin anew.
         *
         * @param value whether outputs and journal are replaced
         * @return this builder
         */
        public Builder overwrite(boolean value) {
            this.overwrite = value;
            return this;
        }

        /**
         * Makes the options.
         *
         * @return the options
         * @throws IllegalArgumentException if a value is out of its range
         */
        public FilterFiles build() {
            return new FilterFiles(input, output, rejected, field, scoreField, mostLineBytes, overwrite);
        }
    }
}
