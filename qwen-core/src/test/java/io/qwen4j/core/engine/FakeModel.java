package io.qwen4j.core.engine;

import io.qwen4j.core.cache.KvPages;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.Ints;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import java.lang.reflect.Proxy;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A model whose next token is a function of all tokens before it, read from a paged cache as attention would read it: a wrong page,
 * position or order changes the answer, and so does a token that was cached with other positions than the rest. To a script a token with
 * stretched positions is {@value #STRETCHED} larger, and one of a sparse slice is larger by a number that tells the slice.
 */
final class FakeModel implements StepModel {
    static final int ROWS = 97;
    static final int WIDTH = 4;
    static final int STRETCHED = 1000;
    private static final int SPARSE = 2000;

    /** Which token follows. */
    interface Script {
        int next(int[] tokens, int length);
    }

    /** Tokens that look random, never above 89. */
    static final Script HASH = (tokens, length) -> {
        int h = 17;
        for (int i = 0; i < length; i++) {
            h = h * 31 + tokens[i];
        }
        return Math.floorMod(h ^ h >>> 15, 90);
    };

    /** Tokens that mostly follow what came before, and then do not; each depends on all before it. */
    static final Script REPEATING = (tokens, length) -> {
        int h = HASH.next(tokens, length);
        return h % 9 == 0 || length < 2 ? h : Math.floorMod(tokens[length - 1] * 5 + tokens[length - 2] * 3 + 1, 11);
    };

    final AtomicInteger closes = new AtomicInteger();
    final AtomicInteger steps = new AtomicInteger();
    volatile int largestBatch;
    volatile int mostSequences;
    volatile boolean sawPlain;
    volatile boolean sawStretched;
    /** That of the last sequence of the last step. */
    volatile int promptLength;
    /** Called in each step on the engine thread. */
    volatile Runnable onStep = () -> {};
    /** Rows of logits that were looked at, and sets of rows that were selected from. */
    final AtomicInteger looks = new AtomicInteger();
    final AtomicInteger selects = new AtomicInteger();
    /** A row whose last token is this one gets NaN. */
    volatile int poison = -1;

    private final Script script;
    private final Batch batch;
    private final int[] slots;
    private final int[] sequence;
    private final FloatBuffer hidden;
    private final Ops ops = new JavaOps(new OpsOptions(1, null));
    private final Activation logits;
    private final @Nullable LogitSelection selection;
    private final int maxLogitsRows;
    private final int[] nextOfRow;

    /**
     * Makes a model.
     *
     * @param mostApart -1, or the most ids that stand apart where its logits are selected from
     */
    FakeModel(Script script, KvPages pages, int maxTokens, int maxSequences, int maxLogitsRows, int mostApart) {
        this.script = script;
        batch = new Batch(intsOnly(), maxTokens, maxSequences, pages.pages(), KvPages.PAGE_TOKENS);
        slots = new int[pages.pages() * KvPages.PAGE_TOKENS];
        Arrays.fill(slots, -1);
        sequence = new int[slots.length + 1];
        hidden = FloatBuffer.allocate(maxTokens * WIDTH);
        logits = ops.activation(maxLogitsRows, ROWS);
        selection = mostApart < 0 ? null : new LogitSelection(ops, maxLogitsRows, mostApart, ROWS, ROWS);
        this.maxLogitsRows = maxLogitsRows;
        nextOfRow = new int[maxTokens];
    }

    private static Ops intsOnly() {
        return (Ops) Proxy.newProxyInstance(FakeModel.class.getClassLoader(), new Class<?>[] {Ops.class}, (p, method, args) -> {
            if (!method.getName().equals("ints")) {
                throw new UnsupportedOperationException(method.getName());
            }
            IntBuffer buffer = IntBuffer.allocate((Integer) args[0]);
            return new Ints() {
                @Override
                public IntBuffer buffer() {
                    return buffer;
                }

                @Override
                public void close() {}
            };
        });
    }

    @Override
    public int vocabularyRows() {
        return ROWS;
    }

    @Override
    public int outputs() {
        return ROWS;
    }

    @Override
    public int hiddenSize() {
        return WIDTH;
    }

    @Override
    public Batch batch() {
        return batch;
    }

    @Override
    public void forward() {
        steps.incrementAndGet();
        largestBatch = Math.max(largestBatch, batch.tokens());
        mostSequences = Math.max(mostSequences, batch.sequences());
        onStep.run();
        if (closes.get() > 0) {
            throw new AssertionError("computes after the memory was freed");
        }
        int r = 0;
        for (int b = 0; b < batch.sequences(); b++) {
            sawPlain |= !batch.stretched(b);
            sawStretched |= batch.stretched(b);
            promptLength = batch.promptLength(b);
            for (int t = batch.start(b); t < batch.start(b + 1); t++) {
                int sparse = batch.sparse(b) ? slice(batch.cached(b), batch.cached(b) + batch.start(b + 1) - batch.start(b)) : 0;
                slots[batch.slot(t)] = batch.token(t) + (batch.stretched(b) ? STRETCHED : 0) + sparse;
            }
            while (r < batch.outputs() && batch.output(r) < batch.start(b + 1)) {
                int length = batch.position(batch.output(r)) + 1;
                for (int p = 0; p < length; p++) {
                    sequence[p] = slots[batch.page(b, p / KvPages.PAGE_TOKENS) * KvPages.PAGE_TOKENS + p % KvPages.PAGE_TOKENS];
                }
                nextOfRow[r] = sequence[length - 1] == poison ? -1 : script.next(sequence, length);
                for (int i = 0; i < WIDTH; i++) {
                    hidden.put(r * WIDTH + i, i == 0 ? nextOfRow[r] + 1 : i);
                }
                r++;
            }
        }
    }

    private static int slice(int begin, int end) {
        return SPARSE * (1 + begin + 7 * end);
    }

    @Override
    public FloatBuffer hidden() {
        return hidden;
    }

    @Override
    public int maxLogitsRows() {
        return maxLogitsRows;
    }

    @Override
    public void computeLogits(int first, int rows) {
        for (int r = 0; r < rows; r++) {
            int next = nextOfRow[first + r];
            for (int i = 0; i < ROWS; i++) {
                logits.buffer().put(r * ROWS + i, next < 0 ? Float.NaN : i == next ? 5 : -(i % 7));
            }
        }
    }

    @Override
    public FloatBuffer logits() {
        looks.incrementAndGet();
        return logits.buffer();
    }

    @Override
    public @Nullable LogitSelection selection() {
        return selection;
    }

    @Override
    public void select() {
        selects.incrementAndGet();
        ops.selectLogits(logits, Objects.requireNonNull(selection));
    }

    @Override
    public void close() {
        closes.incrementAndGet();
        ops.close();
    }

    /** What {@code script} answers to a prompt, computed plainly. */
    static int[] expected(Script script, int[] prompt, int count, int endToken) {
        return expected(script, prompt, count, endToken, LongContext.ALWAYS_PLAIN, false);
    }

    /**
     * What {@code script} answers where long sequences are stretched.
     *
     * @param plainLength longest sequence that is not
     * @param bounded whether {@code count} was asked for
     */
    static int[] expected(Script script, int[] prompt, int count, int endToken, int plainLength, boolean bounded) {
        return expected(script, prompt, count, endToken, plainLength, bounded, 0);
    }

    /**
     * What {@code script} answers where the prompt is prefilled sparsely.
     *
     * @param sparseSlice tokens of a slice, or 0 if it is not
     */
    static int[] expected(
            Script script, int[] prompt, int count, int endToken, int plainLength, boolean bounded, int sparseSlice) {
        int[] all = Arrays.copyOf(prompt, prompt.length + count);
        int length = prompt.length;
        while (length < all.length) {
            boolean stretched = length > plainLength || bounded && all.length > plainLength;
            int[] seen = stretched ? Arrays.stream(all).map(id -> id + STRETCHED).toArray() : all.clone();
            for (int p = 0; sparseSlice > 0 && p < prompt.length; p++) {
                int begin = p / sparseSlice * sparseSlice;
                seen[p] += slice(begin, Math.min(prompt.length, begin + sparseSlice));
            }
            int next = script.next(seen, length);
            all[length++] = next;
            if (next == endToken) {
                break;
            }
        }
        return Arrays.copyOfRange(all, prompt.length, length);
    }
}
