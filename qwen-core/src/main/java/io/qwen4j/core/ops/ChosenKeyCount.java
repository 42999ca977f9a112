package io.qwen4j.core.ops;

/** How many keys are computed for the queries of a run. Not thread-safe. */
public final class ChosenKeyCount {
    private final JavaChosenKeys keys = new JavaChosenKeys();

    /** Pairs of a query and a key at or before it, of one head and run, that sparse attention computes. */
    public long chosen(KeyChoice choice, Batch batch, int run, int head) {
        int first = batch.cached(choice.sequence(run)) + choice.begin(run);
        int end = batch.cached(choice.sequence(run)) + choice.end(run);
        long count = 0;
        for (int begin = first; begin < end; begin += KeyChoice.BLOCK_TOKENS) {
            int blockEnd = Math.min(end, begin + KeyChoice.BLOCK_TOKENS);
            keys.set(choice, run, head, begin, blockEnd);
            count += (long) keys.count(begin) * (blockEnd - begin);
            for (int position = begin; position < blockEnd; position++) {
                count += keys.has(position) ? blockEnd - position : 0;
            }
        }
        return count;
    }

    /** Pairs of a query and a key at or before it, of one head and run. */
    public static long all(KeyChoice choice, Batch batch, int run) {
        long first = batch.cached(choice.sequence(run)) + choice.begin(run);
        long end = batch.cached(choice.sequence(run)) + choice.end(run);
        return (end * (end + 1) - first * (first + 1)) / 2;
    }
}
