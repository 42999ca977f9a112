package io.qwen4j.core.tokenizer;

import java.util.Arrays;

/** The bytes of each token, one behind the other. Immutable. */
final class Vocabulary {
    private final byte[] bytes;
    private final int[] starts; // one more than tokens

    Vocabulary(byte[] bytes, int[] starts) {
        this.bytes = bytes;
        this.starts = starts;
    }

    int size() {
        return starts.length - 1;
    }

    int length(int id) {
        return starts[id + 1] - starts[id];
    }

    byte[] bytes(int id) {
        return Arrays.copyOfRange(bytes, starts[id], starts[id + 1]);
    }

    /** Copies the bytes of a token and returns where they end. */
    int copy(int id, byte[] target, int at) {
        int length = length(id);
        System.arraycopy(bytes, starts[id], target, at, length);
        return at + length;
    }
}
