package io.qwen4j.core.filter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.CancelledException;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.FilterException;
import io.qwen4j.filter.FilterException.Reason;
import io.qwen4j.filter.FilterFiles;
import io.qwen4j.filter.FilterListener;
import io.qwen4j.filter.FilterProgress;
import io.qwen4j.filter.FilterSummary;
import io.qwen4j.filter.OnError;
import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Threshold;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(120)
class FilterRunTest {
    private static final double LEAST = 0.4;

    @TempDir
    Path temporary;

    private final FakeScorer scorer = new FakeScorer();
    private Path input;
    private Path output;
    private Path rejected;

    @BeforeEach
    void nameFiles() {
        input = temporary.resolve("in.jsonl");
        output = temporary.resolve("out.jsonl");
        rejected = temporary.resolve("rejected.jsonl");
    }

    private QualityFilter.Builder filter() {
        return QualityFilter.builder(scorer).threshold(Threshold.least("hash", LEAST)).inFlight(4);
    }

    private FilterFiles.Builder files() {
        return FilterFiles.builder(input, output).rejected(rejected);
    }

    private FilterSummary run(QualityFilter.Builder filter, FilterFiles.Builder files) {
        return filter.build().run(files.build(), FilterListener.none());
    }

    private FilterException refused(Reason reason, QualityFilter.Builder filter, FilterFiles.Builder files) {
        FilterException e = assertThrows(FilterException.class, () -> run(filter, files));
        assertEquals(reason, e.reason(), e.getMessage());
        assertTrue(e.getMessage().startsWith(e.file().toString()), e.getMessage());
        return e;
    }

    private static String line(int i) {
        return i % 3 == 0 ? "{\"id\": " + i + ",  \"text\":\"document " + i + "\" } " : "{\"text\":\"Dokument é " + i + "\"}\r";
    }

    /** What must come of a line that can be scored. */
    private static String expected(String line, String document) {
        int brace = line.lastIndexOf('}');
        double hash = FakeScorer.hash(document);
        int length = document.length();
        return line.substring(0, brace) + String.format(
                Locale.ROOT, ",\"quality\":{\"hash\":%.6f,\"length\":%.6f,\"mean\":%.6f,\"tokens\":%d}", hash, (double) length,
                (hash + length) / 2, length) + line.substring(brace) + "\n";
    }

    private static String document(int i) {
        return i % 3 == 0 ? "document " + i : "Dokument é " + i;
    }

    private void writeInput(int lines) throws IOException {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < lines; i++) {
            text.append(line(i)).append('\n');
        }
        Files.writeString(input, text);
    }

    private static String[] split(int lines) {
        StringBuilder kept = new StringBuilder();
        StringBuilder rest = new StringBuilder();
        for (int i = 0; i < lines; i++) {
            (FakeScorer.hash(document(i)) >= LEAST ? kept : rest).append(expected(line(i), document(i)));
        }
        return new String[] {kept.toString(), rest.toString()};
    }

    private void assertOutputs(int lines) throws IOException {
        assertEquals(split(lines)[0], Files.readString(output));
        assertEquals(split(lines)[1], Files.readString(rejected));
    }

    @Test
    void linesAreKeptAsTheyWereInOrder() throws IOException {
        writeInput(500);
        scorer.millis = 1;
        List<FilterProgress> heard = new ArrayList<>();
        FilterSummary summary = filter().build().run(files().build(), heard::add);
        assertOutputs(500);
        assertEquals(500, summary.lines());
        assertEquals(Files.lines(output).count(), summary.kept());
        assertEquals(Files.lines(rejected).count(), summary.rejected());
        assertEquals(500, summary.kept() + summary.rejected());
        assertEquals(0, summary.failed());
        assertEquals(0.25, summary.dimensions().get(0).meanMass());
        assertEquals("document 0".length(), summary.dimensions().get(1).least());
        assertEquals("Dokument é 499".length(), summary.dimensions().get(1).most());
        assertEquals(4, scorer.mostRunning.get());
        assertEquals(0, heard.get(0).lines());
        FilterProgress last = heard.get(heard.size() - 1);
        assertEquals(Files.size(input), last.bytes());
        assertEquals(last.bytes(), last.totalBytes());
        assertEquals(500, last.runLines());
    }

    @Test
    void withoutThresholdsAndRejectedFileAllIsScored() throws IOException {
        writeInput(20);
        FilterSummary summary = run(QualityFilter.builder(scorer), FilterFiles.builder(input, output).scoreField("s"));
        assertEquals(20, summary.kept());
        assertTrue(Files.readString(output).lines().allMatch(line -> line.contains(",\"s\":{\"hash\":")));
        assertFalse(Files.exists(rejected));
    }

    @Test
    void aRunThatAnErrorEndedGoesOnThereWhenTheLineIsRight() throws IOException {
        writeInput(200);
        String good = Files.readString(input);
        String bad = good.replace("document 150", "bad ument 150");
        Files.writeString(input, bad);
        DocumentException e = assertThrows(DocumentException.class, () -> run(filter(), files()));
        assertEquals(151, e.line());
        assertEquals(input + ", line 151: expected at most 1 tokens, found 2", e.getMessage());
        int before = scorer.scored.get();
        assertThrows(DocumentException.class, () -> run(filter(), files()));
        assertTrue(scorer.scored.get() - before <= 4, "only what comes next is scored again");
        Files.writeString(input, good);
        FilterSummary summary = run(filter(), files());
        assertEquals(150, summary.resumedLines());
        assertEquals(200, summary.lines());
        assertOutputs(200);
    }

    @Test
    void errorsMayBeSkippedAfterARunThatFailed() throws IOException {
        writeInput(30);
        Files.writeString(input, Files.readString(input).replace("document 15", "bad ument 15"));
        assertThrows(DocumentException.class, () -> run(filter(), files()));
        FilterSummary summary = run(filter().onError(OnError.SKIP), files());
        assertEquals(15, summary.resumedLines());
        assertEquals(Map.of(DocumentException.Reason.TOO_LONG, 1L), summary.errors());
        assertEquals(List.of(input + ", line 16: expected at most 1 tokens, found 2"), summary.firstErrors());
        // Not back: errors are counted now.
        String message = refused(Reason.DIFFERENT, filter(), files()).getMessage();
        assertTrue(message.contains("on error was 'SKIP', now 'FAIL'"), message);
    }

    @Test
    void everyKindOfBadLineIsCopiedAsItIs() throws IOException {
        String huge = "{\"text\":\"" + "x".repeat(300_000) + "\"}";
        List<String> bad = List.of("nonsense", "{\"text\":5}", huge, "{\"text\":\"bad\",\"quality\":0}", "{\"text\":\"bad one\"}\r");
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < bad.size(); i++) {
            text.append(line(i)).append('\n').append(bad.get(i)).append("\n").append(" \t\r\n");
        }
        Files.writeString(input, text);
        FilterSummary summary = run(QualityFilter.builder(scorer).onError(OnError.SKIP), files().mostLineBytes(100_000));
        assertEquals(String.join("\n", bad) + "\n", Files.readString(rejected));
        assertEquals(5, summary.kept());
        assertEquals(5, summary.rejected());
        assertEquals(5, summary.blank());
        assertEquals(5, summary.failed());
        assertEquals(15, summary.lines());
        assertTrue(summary.firstErrors().get(2).endsWith(
                "line 8: expected at most 100000 bytes, found " + huge.length()), summary.firstErrors().get(2));
        summary = run(
                QualityFilter.builder(scorer).onError(OnError.KEEP), files().mostLineBytes(100_000).overwrite(true));
        assertEquals(0, Files.size(rejected));
        assertEquals(10, summary.kept());
        List<String> lines = Files.readString(output).lines().toList();
        assertEquals(huge, lines.get(5));
    }

    @Test
    void theLastLineGetsAnEnd() throws IOException {
        Files.writeString(input, line(0) + "\n" + line(1));
        run(QualityFilter.builder(scorer), FilterFiles.builder(input, output));
        assertEquals(expected(line(0), document(0)) + expected(line(1), document(1)), Files.readString(output));
        // It is done, and must not be half a line.
        Files.writeString(input, "x\n", StandardOpenOption.APPEND);
        String message = refused(Reason.DIFFERENT, QualityFilter.builder(scorer), FilterFiles.builder(input, output)).getMessage();
        assertTrue(message.contains("has grown"), message);
    }

    @Test
    void anInputThatGrewIsFilteredFromThereOn() throws IOException {
        writeInput(40);
        byte[] first = Files.readAllBytes(input);
        assertEquals(40, run(filter(), files()).lines());
        int scored = scorer.scored.get();
        FilterSummary again = run(filter(), files());
        assertEquals(40, again.resumedLines());
        assertEquals(scored, scorer.scored.get(), "nothing is left to do");
        assertOutputs(40);
        writeInput(60);
        assertArrayEquals(first, Arrays.copyOf(Files.readAllBytes(input), first.length));
        assertEquals(60, run(filter(), files()).lines());
        assertEquals(scored + 20, scorer.scored.get());
        assertOutputs(60);
    }

    /** What a killed run leaves: the journal of some time, and outputs that are longer by any number of bytes. */
    @Test
    void whateverStandsBehindTheJournaledLengthsIsCutAway() throws IOException {
        writeInput(90);
        Path journal = files().build().journal();
        Random random = new Random(5);
        for (int stop = 0; stop < 90; stop += 7) {
            List<String> text = List.of(Files.readString(input).split("\n"));
            List<String> bad = new ArrayList<>(text);
            bad.set(stop, "{");
            Path other = temporary.resolve("other.jsonl");
            Files.writeString(other, String.join("\n", bad) + "\n");
            FilterFiles.Builder broken = FilterFiles.builder(other, output).rejected(rejected).overwrite(true);
            assertThrows(DocumentException.class, () -> run(filter(), broken));
            for (Path file : List.of(output, rejected)) {
                byte[] tail = new byte[random.nextInt(200)];
                random.nextBytes(tail);
                Files.write(file, tail, StandardOpenOption.APPEND);
            }
            Files.write(journal.resolveSibling(journal.getFileName() + ".new"), new byte[] {1, 2, 3});
            FilterSummary summary = run(filter(), files());
            assertEquals(stop, summary.resumedLines());
            assertOutputs(90);
        }
    }

    @Test
    void totalsAreThoseOfOneRun() throws IOException {
        writeInput(80);
        FilterSummary whole = run(filter(), files());
        Path other = temporary.resolve("other.jsonl");
        List<String> lines = List.of(Files.readString(input).split("\n"));
        FilterFiles.Builder parts =
                FilterFiles.builder(other, temporary.resolve("parts.jsonl")).rejected(temporary.resolve("parts-rejected.jsonl"));
        FilterSummary last = null;
        for (int count : new int[] {0, 1, 33, 80}) {
            Files.writeString(other, String.join("\n", lines.subList(0, count)) + (count == 0 ? "" : "\n"));
            last = run(filter(), parts);
        }
        assertEquals(whole.dimensions(), last.dimensions());
        assertEquals(whole.tokens(), last.tokens());
        assertEquals(whole.scoredTokens(), last.scoredTokens());
        assertEquals(whole.truncated(), last.truncated());
        assertEquals(whole.kept(), last.kept());
        assertArrayEquals(Files.readAllBytes(output), Files.readAllBytes(temporary.resolve("parts.jsonl")));
    }

    @Test
    void anotherRunIsRefusedAndToldFromThisOne() throws IOException {
        writeInput(10);
        run(filter(), files());
        byte[] before = Files.readAllBytes(output);
        String message = refused(Reason.DIFFERENT, QualityFilter.builder(scorer), files()).getMessage();
        assertTrue(message.contains("thresholds was 'hash 0.4 to Infinity', now 'none'"), message);
        message = refused(Reason.DIFFERENT, filter(), files().field("t").scoreField("s").mostLineBytes(99)).getMessage();
        assertTrue(message.contains("field was 'text', now 't'; score field was 'quality', now 's'; most bytes of a line was"), message);
        message = refused(Reason.DIFFERENT, filter(), files().rejected(null)).getMessage();
        assertTrue(message.contains("rejected was 'rejected.jsonl', now 'none'"), message);
        scorer.identity = "another";
        message = refused(Reason.DIFFERENT, filter(), files()).getMessage();
        assertTrue(message.contains("scorer was 'fake', now 'another'"), message);
        scorer.identity = "fake";
        Files.writeString(input, Files.readString(input).replace("document 3", "document x"));
        message = refused(Reason.DIFFERENT, filter(), files()).getMessage();
        assertTrue(message.contains("bytes differ from those that were filtered"), message);
        Files.writeString(input, line(0) + "\n");
        message = refused(Reason.DIFFERENT, filter(), files()).getMessage();
        assertTrue(message.contains("expected at least the"), message);
        writeInput(10);
        Files.writeString(output, "short");
        message = refused(Reason.DIFFERENT, filter(), files()).getMessage();
        assertTrue(message.contains("expected the " + before.length + " bytes that the run had written, found 5"), message);
        Files.delete(output);
        refused(Reason.DIFFERENT, filter(), files());
        assertFalse(Files.exists(output));
        run(filter(), files().overwrite(true));
        assertArrayEquals(before, Files.readAllBytes(output));
    }

    @Test
    void filesOfOthersAreNotTouched() throws IOException {
        writeInput(10);
        Files.writeString(output, "mine");
        assertTrue(refused(Reason.EXISTS, filter(), files()).getMessage().contains("overwrite"));
        Files.delete(output);
        Files.writeString(rejected, "mine");
        refused(Reason.EXISTS, filter(), files());
        assertEquals("mine", Files.readString(rejected));
        assertFalse(Files.exists(output));
        run(filter(), files().overwrite(true));
        assertOutputs(10);
    }

    @Test
    void filesThatCannotBeAreRefused() throws IOException {
        refused(Reason.FILE, filter(), files());
        Files.createDirectory(input);
        refused(Reason.FILE, filter(), files());
        Files.delete(input);
        writeInput(3);
        refused(Reason.SAME_FILE, filter(), FilterFiles.builder(input, input));
        refused(Reason.SAME_FILE, filter(), FilterFiles.builder(input, temporary.resolve("x/../in.jsonl")));
        refused(Reason.SAME_FILE, filter(), files().rejected(output));
        refused(Reason.SAME_FILE, filter(), files().rejected(files().build().journal()));
        Files.createLink(temporary.resolve("link"), input);
        refused(Reason.SAME_FILE, filter(), FilterFiles.builder(input, temporary.resolve("link")).overwrite(true));
        refused(Reason.FILE, filter(), FilterFiles.builder(input, Files.createDirectory(temporary.resolve("d"))));
        refused(Reason.IO, filter(), FilterFiles.builder(input, temporary.resolve("none/out")));
        Path full = Path.of("/dev/full");
        if (Files.exists(full)) {
            refused(Reason.FILE, filter(), files().rejected(full));
        }
    }

    @Test
    void damagedJournalsAreRefused() throws IOException {
        writeInput(10);
        run(filter(), files());
        Path journal = files().build().journal();
        byte[] whole = Files.readAllBytes(journal);
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 300; round++) {
            byte[] damaged = Arrays.copyOf(whole, round % 2 == 0 ? random.nextInt(whole.length - 1) : whole.length);
            if (round % 2 == 1) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(128);
            }
            Files.write(journal, damaged);
            try {
                run(filter(), files());
            } catch (FilterException e) {
                assertTrue(e.reason() == Reason.JOURNAL || e.reason() == Reason.DIFFERENT, "seed " + seed + ": " + e.getMessage());
            }
        }
        Files.writeString(journal, "{\"format\": \"qwen4j filter journal\", \"version\": 2}");
        String message = refused(Reason.JOURNAL, filter(), files()).getMessage();
        assertTrue(message.contains("version 1, found"), message);
    }

    @Test
    void twoRunsDoNotWriteOneFile() throws Exception {
        writeInput(200);
        scorer.millis = 5;
        Thread first = new Thread(() -> run(filter(), files()));
        first.start();
        while (scorer.scored.get() == 0) {
            Thread.sleep(1);
        }
        refused(Reason.LOCKED, filter(), files());
        refused(Reason.LOCKED, filter(), files().overwrite(true));
        first.join();
        assertOutputs(200);
    }

    @Test
    void anInterruptedRunGoesOn() throws Exception {
        writeInput(300);
        scorer.millis = 3;
        for (int i = 0; i < 4; i++) {
            int before = scorer.scored.get();
            List<Throwable> thrown = new ArrayList<>();
            Thread thread = new Thread(() -> {
                try {
                    run(filter(), files());
                } catch (CancelledException e) {
                    thrown.add(e);
                    assertTrue(Thread.currentThread().isInterrupted());
                }
            });
            thread.start();
            while (scorer.scored.get() < before + 40 && thread.isAlive()) {
                Thread.sleep(1);
            }
            thread.interrupt();
            thread.join();
            assertEquals(1, thrown.size());
        }
        FilterSummary summary = run(filter(), files());
        assertTrue(summary.resumedLines() >= 120, "an interrupted run journals what is written: " + summary.resumedLines());
        assertOutputs(300);
    }

    @Test
    void whatAListenerThrowsEndsTheRun() throws IOException {
        writeInput(100);
        scorer.millis = 5;
        assertThrows(IllegalStateException.class, () -> filter().build().run(files().build(), progress -> {
            if (progress.lines() > 20) {
                throw new IllegalStateException("enough");
            }
        }));
        run(filter(), files());
        assertOutputs(100);
    }

    @Test
    void memoryDoesNotGrowWithTheFile() throws IOException {
        // 1 GiB of zeros behind the first line, in a file with a hole: one line that is never held.
        try (RandomAccessFile file = new RandomAccessFile(input.toFile(), "rw")) {
            file.write((line(0) + "\n").getBytes(StandardCharsets.UTF_8));
            file.setLength(1L << 30);
        }
        FilterSummary summary = run(QualityFilter.builder(scorer).onError(OnError.SKIP), FilterFiles.builder(input, output));
        assertEquals(1, summary.kept());
        assertEquals(Map.of(DocumentException.Reason.LINE_TOO_LONG, 1L), summary.errors());
        assertEquals(expected(line(0), document(0)), Files.readString(output));
    }
}
