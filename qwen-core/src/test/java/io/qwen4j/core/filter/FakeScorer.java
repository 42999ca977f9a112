package io.qwen4j.core.filter;

import io.qwen4j.CancelledException;
import io.qwen4j.filter.DimensionScore;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import io.qwen4j.filter.Scorer;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** Scores by the hash of a document; a document that begins with "bad" cannot be scored, and one that begins with "bug" fails it all. */
final class FakeScorer implements Scorer {
    final AtomicInteger scored = new AtomicInteger();
    final AtomicInteger running = new AtomicInteger();
    final AtomicInteger mostRunning = new AtomicInteger();
    final AtomicInteger cancelled = new AtomicInteger();
    volatile long millis;
    volatile String identity = "fake";

    @Override
    public List<String> dimensions() {
        return List.of("hash", "length");
    }

    static double hash(String document) {
        return Math.floorMod(document.hashCode() * 31, 1000) / 999.0;
    }

    @Override
    public DocumentScores score(String document) {
        mostRunning.accumulateAndGet(running.incrementAndGet(), Math::max);
        try {
            if (millis > 0) {
                Thread.sleep(Math.floorMod(document.hashCode(), 2 * millis));
            }
            scored.incrementAndGet();
            if (document.startsWith("bad")) {
                throw new DocumentException(Reason.TOO_LONG, "expected at most 1 tokens, found 2", null);
            } else if (document.startsWith("bug")) {
                throw new IllegalStateException("a bug");
            }
            int length = document.length();
            return new DocumentScores(
                    List.of(new DimensionScore("hash", hash(document), 0.25), new DimensionScore("length", length, 1)),
                    length,
                    Math.min(length, 40));
        } catch (InterruptedException e) {
            cancelled.incrementAndGet();
            throw new CancelledException("interrupted", e);
        } finally {
            running.decrementAndGet();
        }
    }

    @Override
    public Map<String, String> settings() {
        return Map.of("scorer", identity);
    }
}
