package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.opentest4j.TestAbortedException;

/** {@code qwen filter}, in this process and in ones that are killed. */
@Timeout(600)
class FilterCommandTest {
    private static final String[] WORDS = "the capital of Japan is Tokyo a lion saw the bird girl found red fish once upon time".split(" ");

    @TempDir
    Path temporary;

    private Path writeDocuments(int count) throws IOException {
        return writeDocuments(count, "");
    }

    private Path writeDocuments(int count, String more) throws IOException {
        Random random = new Random(7);
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.append("{\"id\": ").append(i).append(", \"text\": \"");
            for (int w = 1 + random.nextInt(30); w >= 0; w--) {
                text.append(WORDS[random.nextInt(WORDS.length)]).append(w == 0 ? "." : " ");
            }
            text.append('"').append(more).append("}\n");
        }
        return Files.writeString(temporary.resolve("in.jsonl"), text);
    }

    private String[] words(String output, String... more) {
        List<String> words = new ArrayList<>(List.of(
                "filter", "tiny-qwen", "--input", temporary.resolve("in.jsonl").toString(), "--output",
                temporary.resolve(output).toString()));
        words.addAll(List.of(more));
        return words.toArray(String[]::new);
    }

    private byte[] bytes(String name) throws IOException {
        return Files.readAllBytes(temporary.resolve(name));
    }

    @Test
    void ratesAlongDimensionsAndTellsFigures() throws Exception {
        writeDocuments(40);
        Tool.Result result = Tool.run(words(
                "out.jsonl", "--rejected", temporary.resolve("rejected.jsonl").toString(), "--dimension", "facts=how correct it is",
                "--dimension", "style=how well it is written", "--min", "facts=1.5,3.2", "--max", "style=4.9", "--json")).succeeded();
        List<String> kept = Files.readAllLines(temporary.resolve("out.jsonl"));
        List<String> rejected = Files.readAllLines(temporary.resolve("rejected.jsonl"));
        assertEquals(40, kept.size() + rejected.size());
        assertTrue(kept.size() > 0 && rejected.size() > 0, "kept " + kept.size());
        for (List<String> lines : List.of(kept, rejected)) {
            int last = -1;
            for (String line : lines) {
                assertTrue(line.matches("\\{\"id\": \\d+, \"text\": \"[^\"]*\",\"quality\":\\{\"facts\":[\\d.]+,\"style\":[\\d.]+,"
                        + "\"mean\":[\\d.]+,\"tokens\":\\d+}}"), line);
                double mean = Double.parseDouble(line.replaceAll(".*\"mean\":([\\d.]+).*", "$1"));
                assertEquals(lines == kept, mean >= 3.2, line);
                int id = Integer.parseInt(line.replaceAll(".*\"id\": (\\d+).*", "$1"));
                assertTrue(id > last);
                last = id;
            }
        }
        assertTrue(result.out().startsWith("{\"model\":\"tiny-qwen"), result.out());
        assertTrue(result.out().contains("\"lines\":40,\"kept\":" + kept.size() + ",\"rejected\":" + rejected.size() + ",\"failed\":0"));
        assertTrue(result.err().contains("warning: on facts the model gives"), "the bundled model does not rate: " + result.err());
        // The same again has nothing to do.
        byte[] before = bytes("out.jsonl");
        String text = Tool.run(words(
                "out.jsonl", "--rejected", temporary.resolve("rejected.jsonl").toString(), "--dimension", "facts=how correct it is",
                "--dimension", "style=how well it is written", "--min", "3.2,facts=1.5", "--max", "style=4.9")).failure();
        assertTrue(text.contains("thresholds was 'facts 1.5 to Infinity, mean 3.2 to Infinity, style"), text);
        assertArrayEquals(before, bytes("out.jsonl"));
    }

    @Test
    void filtersByPerplexityInOneGoOrSeveral() throws Exception {
        writeDocuments(30);
        String out = Tool.run(words("out.jsonl", "--score", "perplexity", "--max", "9000")).succeeded().out();
        assertTrue(out.contains("\nlines      30\n") && out.contains("\nperplexity mean "), out);
        assertTrue(Files.readString(temporary.resolve("out.jsonl")).lines().allMatch(
                line -> Double.parseDouble(line.replaceAll(".*\"perplexity\":([\\d.]+).*", "$1")) <= 9000));
        out = Tool.run(words("out.jsonl", "--score", "perplexity", "--max", "9000")).succeeded().out();
        assertTrue(out.contains("\nlines      30, 30 of them in earlier runs\n"), out);
        String error = Tool.run(words("out.jsonl", "--score", "perplexity", "--max", "10")).failure();
        assertTrue(error.contains("out.jsonl.journal: the run that it belongs to was another one: thresholds was"), error);
        error = Tool.run(words("out.jsonl", "--score", "perplexity", "--max", "9000", "--kv-cache", "f32")).failure();
        assertTrue(error.contains("log-probability of a probe was"), error);
        Tool.run(words("out.jsonl", "--score", "perplexity", "--max", "10", "--overwrite")).succeeded();
        assertEquals(0, bytes("out.jsonl").length);
    }

    @Test
    void filtersByReward() throws Exception {
        Path model = RewardFiles.outcome(temporary.resolve("judge"));
        writeDocuments(12);
        String[] words = words("out.jsonl", "--score", "reward", "--message", "Tell me a story.", "--min", "-1000");
        words[1] = model.toString();
        String out = Tool.run(words).succeeded().out();
        assertTrue(out.contains("\nreward     mean "), out);
        List<String> lines = Files.readAllLines(temporary.resolve("out.jsonl"));
        assertEquals(12, lines.size());
        String text = lines.get(3).replaceAll(".*\"text\": \"([^\"]*)\".*", "$1");
        String reward = Tool.run("reward", model.toString(), "--message", "Tell me a story.", "--answer", text).succeeded().out();
        assertEquals(
                Double.parseDouble(reward.strip()), Double.parseDouble(lines.get(3).replaceAll(".*\"reward\":(-?[\\d.]+).*", "$1")), 1e-6);
        words[1] = "tiny-qwen";
        Tool.run(words).failure();
    }

    @Test
    void badLinesAreNamed() throws Exception {
        Path input = writeDocuments(3);
        String good = Files.readString(input);
        Files.writeString(input, good + "{\"text\": 5}\n{\"text\": \" \"}\n" + "{\"text\": \"" + "a lion ".repeat(2000) + "\"}\n");
        String error = Tool.run(words("out.jsonl", "--score", "perplexity")).failure();
        assertEquals("qwen: " + input + ", line 4: field \"text\": expected a string, found a number", error);
        Tool.Result result = Tool.run(words("out.jsonl", "--score", "perplexity", "--on-error", "skip")).succeeded();
        assertTrue(result.out().contains("\nfailed     3 {NOT_TEXT=1, EMPTY=1, TOO_LONG=1}\n"), result.out());
        assertTrue(result.err().contains(input + ", line 5: expected a text, found white space only\n"), result.err());
        assertTrue(result.err().contains(input + ", line 6: expected at most 1024 tokens, found "), result.err());
        result = Tool.run(words("out.jsonl", "--score", "perplexity", "--on-error", "keep", "--truncate", "--max-tokens", "100",
                "--overwrite")).succeeded();
        assertTrue(result.out().contains("\ntruncated  1 documents, "), result.out());
        List<String> lines = Files.readAllLines(temporary.resolve("out.jsonl"));
        assertEquals("{\"text\": 5}", lines.get(3));
        assertTrue(lines.get(5).matches(".*,\"scored_tokens\":(100|9\\d)}}"), lines.get(5));
    }

    @Test
    void progressIsShownOnATerminalOnly() throws Exception {
        writeDocuments(200);
        String err = Tool.runOnTerminal(words("out.jsonl", "--score", "perplexity")).succeeded().err();
        assertTrue(err.matches("(?s).*\rfilter +\\d+ %  [\\d.]+ documents/s  \\d+ tokens/s  100.0 % kept  \\d:\\d\\d:\\d\\d left.*"), err);
        assertEquals("", Tool.run(words("out.jsonl", "--score", "perplexity")).succeeded().err());
    }

    private ProcessBuilder process(String[] words, String... before) {
        List<String> command = new ArrayList<>(List.of(before));
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp",
                System.getProperty("java.class.path"), "io.qwen4j.tool.Main"));
        command.addAll(List.of(words));
        return new ProcessBuilder(command)
                .redirectOutput(temporary.resolve("process-out").toFile())
                .redirectError(temporary.resolve("process-err").toFile());
    }

    /** The number of lines that the journal tells, or -1 if there is none. */
    private static int journaledLines(Path journal) throws IOException {
        if (!Files.exists(journal)) {
            return -1;
        }
        return Integer.parseInt(Files.readString(journal).replaceAll("(?s).*\"lines\":(\\d+).*", "$1"));
    }

    /** SIGKILL before the first journal, right after one, and in between, until the run gets to its end. */
    @Test
    void aKilledRunThatIsResumedLeavesTheBytesOfOneThatWasNot() throws Exception {
        int count = 1200;
        writeDocuments(count);
        Path question = Files.writeString(temporary.resolve("question"), "{document}\n\n{name}: {description}?");
        String[] scoring = {
            "--dimension", "facts=correct", "--dimension", "style=good", "--question", question.toString(), "--min", "3.1",
            "--in-flight", "3", "--threads", "1"
        };
        String[] whole = Arrays.copyOf(scoring, scoring.length + 2);
        whole[scoring.length] = "--rejected";
        whole[scoring.length + 1] = temporary.resolve("whole-rejected").toString();
        Tool.run(words("whole", whole)).succeeded();
        whole[scoring.length + 1] = temporary.resolve("parts-rejected").toString();
        Path journal = temporary.resolve("parts.journal");
        Random random = new Random(3);
        int kills = 0;
        int goneOn = 0;
        int lines = -1;
        while (true) {
            Process process = process(words("parts", whole)).start();
            boolean ended = true;
            try {
                // As soon as it has written a journal, then after some time, so that kills fall on any part of the work.
                for (int i = 0; i < 12_000 && process.isAlive(); i++) {
                    if (kills == 0 ? Files.exists(temporary.resolve("parts")) : journaledLines(journal) > lines) {
                        ended = process.waitFor(kills == 0 ? 0 : random.nextInt(500), TimeUnit.MILLISECONDS);
                        break;
                    }
                    Thread.sleep(5);
                }
                ended = ended && process.waitFor(60, TimeUnit.SECONDS);
            } finally {
                process.destroyForcibly();
            }
            process.waitFor();
            if (ended) {
                assertEquals(0, process.exitValue(), Files.readString(temporary.resolve("process-err")));
                break;
            }
            assertEquals(128 + 9, process.exitValue(), "killed");
            kills++;
            int now = journaledLines(journal);
            goneOn += now > Math.max(0, lines) ? 1 : 0;
            lines = now;
            assertTrue(kills < 200, "does not get on");
        }
        assertTrue(kills >= 2 && goneOn >= 1, kills + " kills, " + goneOn + " times gone on");
        assertArrayEquals(bytes("whole"), bytes("parts"));
        assertArrayEquals(bytes("whole-rejected"), bytes("parts-rejected"));
        assertEquals(count, Files.readAllLines(temporary.resolve("parts")).size()
                + Files.readAllLines(temporary.resolve("parts-rejected")).size());
        String out = Files.readString(temporary.resolve("process-out"));
        assertTrue(out.contains("of them in earlier runs"), out);
    }

    @Test
    void aFullDiskLeavesARunThatGoesOn() throws Exception {
        if (!new File("/bin/sh").exists()) {
            throw new TestAbortedException("skipped: limits of a file's size need /bin/sh");
        }
        writeDocuments(100, ", \"more\": \"" + "x".repeat(600) + "\"");
        String[] scoring = {"--score", "perplexity", "--backend", "java"};
        Tool.run(words("whole", scoring)).succeeded();
        assertTrue(bytes("whole").length > 40 * 1024, "the limit would not be reached");
        // A file's size is limited to 40 blocks of 512 bytes or 1 KiB; the JVM gets an error instead of the signal.
        Process process = process(words("part", scoring), "/bin/sh", "-c", "ulimit -f 40; exec \"$@\"", "sh").start();
        assertTrue(process.waitFor(120, TimeUnit.SECONDS));
        String error = Files.readString(temporary.resolve("process-err"));
        assertEquals(1, process.exitValue(), error);
        assertTrue(error.contains(temporary.resolve("part") + ": writing failed: "), error);
        assertFalse(Arrays.equals(bytes("whole"), bytes("part")));
        String out = Tool.run(words("part", scoring)).succeeded().out();
        assertTrue(out.contains("lines      100"), out);
        assertArrayEquals(bytes("whole"), bytes("part"));
    }
}
