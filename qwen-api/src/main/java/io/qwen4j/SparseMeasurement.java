package io.qwen4j;

/**
 * What sparse prefill of one length loses and gains, measured by {@link SparseAttention#measure}. Times are seconds of one prefill, of the
 * attention of all layers alone unless they say otherwise.
 *
 * @param tokens length of the prompt
 * @param meanRecall mean attention recall of all queries, heads and layers, from 0 to 1
 * @param worstRecall mean recall of the head with the lowest one
 * @param worstLayer the layer of that head, from 0
 * @param worstHead that head, from 0
 * @param lastRecall mean recall of all heads and layers in the last slice, where the most keys are left out
 * @param keys share of the keys that were computed, from 0 to 1
 * @param denseSeconds attention to all keys
 * @param sparseSeconds attention to the chosen keys, with choosing them
 * @param choosingSeconds choosing the keys
 * @param otherSeconds all that is not attention
 */
public record SparseMeasurement(
        int tokens,
        double meanRecall,
        double worstRecall,
        int worstLayer,
        int worstHead,
        double lastRecall,
        double keys,
        double denseSeconds,
        double sparseSeconds,
        double choosingSeconds,
        double otherSeconds) {
    /**
     * How many times faster attention to the chosen keys is.
     *
     * @return dense over sparse time
     */
    public double speedup() {
        return denseSeconds / sparseSeconds;
    }

    /**
     * How many times faster the whole prefill is.
     *
     * @return dense over sparse time
     */
    public double prefillSpeedup() {
        return (denseSeconds + otherSeconds) / (sparseSeconds + otherSeconds);
    }
}
