package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Runs the tool inside the test's process. */
final class Tool {
    private Tool() {}

    /** What a run left behind. */
    record Result(int status, String out, String err) {
        Result succeeded() {
            assertEquals(0, status, err);
            return this;
        }

        /** Status 1 and one clear line. */
        String failure() {
            return line(1);
        }

        /** Status 2 and one line that points to the help. */
        String wrongUsage() {
            String line = line(2);
            assertEquals(true, line.contains("(see qwen "), line);
            return line;
        }

        private String line(int expected) {
            assertEquals(expected, status, out + err);
            assertEquals(1, err.lines().count(), err);
            assertEquals(true, err.startsWith("qwen: ") && err.endsWith("\n"), err);
            return err.strip();
        }
    }

    static Result run(String... words) {
        return runWith(new byte[0], words);
    }

    static Result runWith(String input, String... words) {
        return runWith(input.getBytes(StandardCharsets.UTF_8), words);
    }

    static Result runWith(byte[] input, String... words) {
        return run(new ByteArrayInputStream(input), false, words);
    }

    /** Runs as if standard error and standard output were a terminal. */
    static Result runOnTerminal(String... words) {
        return run(InputStream.nullInputStream(), true, words);
    }

    private static Result run(InputStream in, boolean terminal, String... words) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int status = Main.run(words, new Streams(in, false, new Output(out, terminal), new Output(err, terminal)));
        return new Result(status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    /** Copies a model's files, those but whose names are given. */
    static Path copy(Path model, Path target, String... without) {
        try (Stream<Path> files = Files.list(model)) {
            Files.createDirectories(target);
            for (Path file : files.toList()) {
                if (!List.of(without).contains(file.getFileName().toString())) {
                    Files.copy(file, target.resolve(file.getFileName()));
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return target;
    }
}
