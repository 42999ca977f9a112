package io.qwen4j.core.engine;

import io.qwen4j.EngineStats;
import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.NumericException;
import io.qwen4j.ToolCall;
import io.qwen4j.core.cache.KvPages;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** An engine on a {@link FakeModel}. */
final class Fixture implements AutoCloseable {
    static final int END = 90;

    final KvPages pages;
    final FakeModel model;
    final Engine engine;

    Fixture(FakeModel.Script script, int pageCount, Engine.Limits limits) {
        this(script, pageCount, limits, -1);
    }

    /**
     * Makes an engine.
     *
     * @param mostApart that of the model
     */
    Fixture(FakeModel.Script script, int pageCount, Engine.Limits limits, int mostApart) {
        pages = new KvPages(pageCount);
        model = new FakeModel(script, pages, limits.prefillSlice() + limits.maxConcurrent(), limits.maxConcurrent(), 3, mostApart);
        engine = new Engine("test", model, pages, limits, FakeModel.ROWS);
    }

    static Fixture of(FakeModel.Script script) {
        return new Fixture(script, 64, new Engine.Limits(2048, 32, 4, 100));
    }

    Generation submit(int[] prompt, int maxTokens) {
        return submit(prompt, maxTokens, -1, AnswerText.NONE);
    }

    Generation submit(int[] prompt, int maxTokens, int alternatives, AnswerText text) {
        return submit(prompt, maxTokens, alternatives, 0, text);
    }

    Generation submit(int[] prompt, int maxTokens, int alternatives, int mostDrafted, AnswerText text) {
        BitSet ends = new BitSet();
        ends.set(END);
        return engine.generate(new Engine.Request(prompt, maxTokens, ends, alternatives, mostDrafted, Fixture::greedy, text, this));
    }

    private static int greedy(java.nio.FloatBuffer logits, int offset) {
        int best = 0;
        for (int i = 0; i < FakeModel.ROWS; i++) {
            if (Float.isNaN(logits.get(offset + i))) {
                throw new NumericException("logit " + i + " is NaN");
            }
            if (logits.get(offset + i) > logits.get(offset + best)) {
                best = i;
            }
        }
        return best;
    }

    /** Waits until nothing runs and all pages are free. */
    void awaitIdle() {
        await("the engine to be idle", () -> {
            EngineStats stats = engine.stats();
            return stats.running() == 0 && stats.waiting() == 0 && stats.cacheTokensUsed() == 0;
        });
    }

    static void await(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + 20_000_000_000L;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("waited 20 s for " + what);
            }
            LockSupport.parkNanos(100_000);
        }
    }

    @Override
    public void close() {
        engine.close();
        if (model.closes.get() != 1) {
            throw new AssertionError("memory was freed " + model.closes.get() + " times");
        }
        if (pages.used() != 0) {
            throw new AssertionError(pages.used() + " pages are still held");
        }
    }

    /** Text in which token i is the letter 'a' + i % 26; finds one stop string, however it falls on tokens. */
    static final class Letters implements AnswerText {
        private final String wanted;
        private final StringBuilder text = new StringBuilder();
        private @Nullable String stop;

        Letters(String wanted) {
            this.wanted = wanted;
        }

        static char letter(int id) {
            return (char) ('a' + id % 26);
        }

        @Override
        public void token(int id, Consumer<GenerationEvent> events) {
            text.append(letter(id));
            int at = wanted.isEmpty() ? -1 : text.indexOf(wanted);
            if (at >= 0) {
                text.setLength(at);
                stop = wanted;
            } else {
                events.accept(new GenerationEvent.TextDelta(String.valueOf(letter(id))));
            }
        }

        @Override
        public void finish(Consumer<GenerationEvent> events) {}

        @Override
        public @Nullable String stop() {
            return stop;
        }

        @Override
        public String text() {
            return text.toString();
        }

        @Override
        public List<ToolCall> toolCalls() {
            return List.of();
        }
    }
}
