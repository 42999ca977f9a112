package io.qwen4j.core.ops;

import java.util.BitSet;

/** The keys that the tokens of one block of a run attend to, of one head. */
final class JavaChosenKeys {
    private final BitSet keys = new BitSet();

    /**
     * Looks up the keys.
     *
     * @param blockBegin position of the block's first token
     * @param blockEnd position behind its last token
     */
    void set(KeyChoice choice, int run, int head, int blockBegin, int blockEnd) {
        keys.clear();
        if (choice.all(run, head)) {
            keys.set(0, blockEnd);
            return;
        }
        for (int i = 0; i < choice.diagonals(run, head); i++) {
            int distance = choice.diagonal(run, head, i);
            if (distance < blockEnd) {
                int first = Math.max(0, blockBegin - distance) / KeyChoice.PANEL_KEYS;
                int last = (blockEnd - 1 - distance) / KeyChoice.PANEL_KEYS;
                keys.set(first * KeyChoice.PANEL_KEYS, (last + 1) * KeyChoice.PANEL_KEYS);
            }
        }
        for (int i = 0; i < choice.columns(run, head); i++) {
            if (choice.column(run, head, i) < blockBegin) {
                keys.set(choice.column(run, head, i));
            }
        }
    }

    /** Number of keys before a position. */
    int count(int end) {
        return keys.get(0, end).cardinality();
    }

    boolean has(int position) {
        return keys.get(position);
    }
}
