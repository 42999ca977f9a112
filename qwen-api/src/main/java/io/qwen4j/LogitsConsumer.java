package io.qwen4j;

import java.nio.FloatBuffer;

/** Takes logits row by row. */
@FunctionalInterface
public interface LogitsConsumer {
    /**
     * Takes the logits after one token.
     *
     * @param position the token's index in the text
     * @param logits one value for each vocabulary row; valid during the call only, read-only
     */
    void row(int position, FloatBuffer logits);
}
