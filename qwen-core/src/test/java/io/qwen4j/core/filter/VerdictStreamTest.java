package io.qwen4j.core.filter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.CancelledException;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.OnError;
import io.qwen4j.filter.QualityFilter;
import io.qwen4j.filter.Threshold;
import io.qwen4j.filter.Verdict;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class VerdictStreamTest {
    private final FakeScorer scorer = new FakeScorer();

    private QualityFilter.Builder filter() {
        return QualityFilter.builder(scorer).inFlight(5);
    }

    private static void awaitNone(FakeScorer scorer) throws InterruptedException {
        for (int i = 0; i < 2000 && scorer.running.get() > 0; i++) {
            Thread.sleep(5);
        }
        assertEquals(0, scorer.running.get());
    }

    @Test
    void orderIsKeptHoweverLongEachTakes() {
        scorer.millis = 4;
        List<String> documents = IntStream.range(0, 300).mapToObj(i -> "document " + i).toList();
        QualityFilter filter = filter().threshold(Threshold.least("hash", 0.4)).build();
        List<Verdict> verdicts = filter.judge(documents.stream()).toList();
        assertEquals(documents, verdicts.stream().map(Verdict::document).toList());
        for (Verdict verdict : verdicts) {
            assertEquals(FakeScorer.hash(verdict.document()) >= 0.4, verdict.kept());
            assertEquals(FakeScorer.hash(verdict.document()), assertScores(verdict));
        }
        assertEquals(5, scorer.mostRunning.get());
        List<String> kept = documents.stream().filter(d -> FakeScorer.hash(d) >= 0.4).toList();
        assertTrue(kept.size() > 50 && kept.size() < 250, "kept " + kept.size());
        assertEquals(kept, filter.keep(documents.stream()).toList());
    }

    private static double assertScores(Verdict verdict) {
        assertNotNull(verdict.scores());
        return verdict.scores().of("hash").value();
    }

    @Test
    void anEndlessSourceIsReadAsFarAsIsNeeded() {
        AtomicInteger taken = new AtomicInteger();
        try (Stream<Verdict> verdicts = filter().build().judge(Stream.generate(() -> "d" + taken.incrementAndGet()))) {
            assertEquals("d20", verdicts.skip(19).findFirst().orElseThrow().document());
        }
        assertTrue(taken.get() <= 26, "read " + taken);
    }

    @Test
    void anErrorIsThrownInItsTurn() {
        List<String> seen = new ArrayList<>();
        Stream<Verdict> verdicts = filter().build().judge(Stream.of("a", "b", "bad", "c"));
        DocumentException e = assertThrows(DocumentException.class, () -> verdicts.forEach(v -> seen.add(v.document())));
        assertEquals(DocumentException.Reason.TOO_LONG, e.reason());
        assertEquals(List.of("a", "b"), seen);
        assertEquals(List.of("a", "b", "c"), filter().onError(OnError.SKIP).build().keep(Stream.of("a", "b", "bad", "c")).toList());
        assertEquals(List.of("a", "bad", "c"), filter().onError(OnError.KEEP).build().keep(Stream.of("a", "bad", "c")).toList());
        // Not an error of a document: the policy does not hide it.
        assertThrows(IllegalStateException.class, () -> filter().onError(OnError.SKIP).build().keep(Stream.of("a", "bug")).toList());
    }

    @Test
    void anErrorOfTheSourceIsThrownInItsTurn() {
        IllegalStateException broken = new IllegalStateException("broken");
        Iterator<Verdict> verdicts = filter().build()
                .judge(IntStream.range(0, 9).mapToObj(i -> {
                    if (i == 3) {
                        throw broken;
                    }
                    return "d" + i;
                }))
                .iterator();
        for (int i = 0; i < 3; i++) {
            assertEquals("d" + i, verdicts.next().document());
        }
        assertSame(broken, assertThrows(IllegalStateException.class, verdicts::next));
        assertFalse(verdicts.hasNext());
    }

    @Test
    void closingCancelsAndClosesTheSource() throws InterruptedException {
        scorer.millis = 60_000;
        AtomicBoolean sourceClosed = new AtomicBoolean();
        Stream<Verdict> verdicts =
                filter().build().judge(Stream.generate(() -> "slow " + Math.random()).onClose(() -> sourceClosed.set(true)));
        Iterator<Verdict> iterator = verdicts.iterator();
        List<Throwable> thrown = new ArrayList<>();
        Thread reader = new Thread(() -> thrown.add(assertThrows(CancelledException.class, iterator::next)));
        reader.start();
        while (scorer.running.get() < 5) {
            Thread.sleep(1);
        }
        verdicts.close();
        reader.join();
        awaitNone(scorer);
        assertEquals(1, thrown.size());
        assertEquals(5, scorer.cancelled.get());
        assertTrue(sourceClosed.get());
        assertFalse(iterator.hasNext());
    }

    @Test
    void interruptingTheReaderCancels() throws InterruptedException {
        scorer.millis = 60_000;
        Iterator<Verdict> verdicts = filter().build().judge(Stream.generate(() -> "slow " + Math.random())).iterator();
        Thread.currentThread().interrupt();
        CancelledException e = assertThrows(CancelledException.class, verdicts::next);
        assertTrue(e.getMessage().contains("interrupted"), e.getMessage());
        assertTrue(Thread.interrupted());
        awaitNone(scorer);
        assertFalse(verdicts.hasNext());
    }

    @Test
    void oneFilterServesSeveralStreams() {
        scorer.millis = 2;
        QualityFilter filter = filter().build();
        List<List<String>> found = IntStream.range(0, 6).parallel()
                .mapToObj(s -> filter.keep(IntStream.range(0, 50).mapToObj(i -> s + " " + i)).toList())
                .toList();
        for (int s = 0; s < 6; s++) {
            int stream = s;
            assertEquals(IntStream.range(0, 50).mapToObj(i -> stream + " " + i).toList(), found.get(s));
        }
    }

    @Test
    void nothingOfNothing() {
        assertEquals(List.of(), filter().build().keep(Stream.empty()).toList());
        assertEquals(0, scorer.scored.get());
    }
}
