package io.qwen4j.core.engine;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KeyChoice;

/** The share of attention weight that lies on chosen keys, from the logarithms of the sums of exponentials with and without a choice. */
final class Recall {
    private Recall() {}

    /** Sum over the queries of a run, of one head; each is 0 to 1. */
    static double sum(Activation dense, Activation sparse, Batch batch, KeyChoice choice, int run, int head) {
        int first = batch.start(choice.sequence(run));
        double sum = 0;
        for (int t = first + choice.begin(run); t < first + choice.end(run); t++) {
            int at = t * dense.columns() + head;
            // Chosen keys are some of all; what is above 1 is rounding.
            sum += Math.min(1, Math.exp((double) sparse.buffer().get(at) - dense.buffer().get(at)));
        }
        return sum;
    }
}
