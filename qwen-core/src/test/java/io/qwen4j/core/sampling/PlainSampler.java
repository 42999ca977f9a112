package io.qwen4j.core.sampling;

import io.qwen4j.SamplingOptions;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * The sampler without anything that makes it fast: every weight is computed, one by one, and everything is sorted. Sums are taken in the
 * order that the options define, so a seed gives the tokens that {@link Sampler} must give.
 */
final class PlainSampler {
    private final SamplingOptions options;
    private final int sampleable;
    private final Penalties penalties;
    private final RandomSource random;

    PlainSampler(SamplingOptions options, int rows, int sampleable, int[] prompt) {
        this.options = options;
        this.sampleable = sampleable;
        penalties = new Penalties(options, rows, sampleable);
        random = new RandomSource(options.seed());
        for (int id : prompt) {
            penalties.acceptPrompt(id);
        }
    }

    /**
     * Chooses a token and remembers it.
     *
     * @param row without NaN and positive infinity
     */
    int sample(float[] row) {
        float[] logits = row.clone();
        penalties.apply(logits, sampleable);
        int[] order = sorted(IntStream.range(0, sampleable).toArray(), logits);
        int chosen = options.temperature() == 0 ? order[0] : draw(logits, order);
        penalties.acceptAnswer(chosen);
        return chosen;
    }

    /** The greater key first, of equal keys the lower id. */
    private static int[] sorted(int[] ids, float[] keys) {
        // Adding 0 makes one zero of two, which would compare as different.
        return Arrays.stream(ids)
                .boxed()
                .sorted(Comparator.<Integer>comparingDouble(id -> -(double) keys[id] + 0.0).thenComparing(id -> id))
                .mapToInt(id -> id)
                .toArray();
    }

    private int draw(float[] logits, int[] order) {
        double max = logits[order[0]];
        double[] weights = new double[sampleable];
        double total = 0;
        for (int id = 0; id < sampleable; id++) {
            weights[id] = Exponential.of(((double) logits[id] - max) / options.temperature());
            total += weights[id];
        }
        boolean some = options.topK() > 0 && options.topK() < sampleable;
        int[] ids = some || options.topP() < 1 ? order : IntStream.range(0, sampleable).filter(id -> weights[id] > 0).toArray();
        ids = IntStream.of(ids).filter(id -> logits[id] > Float.NEGATIVE_INFINITY).toArray();
        if (some) {
            ids = Arrays.copyOf(ids, Math.min(ids.length, options.topK()));
            total = sum(ids, weights);
        }
        if (options.topP() < 1) {
            ids = until(options.topP() * total, ids, weights);
        }
        if (options.minP() > 0) {
            ids = IntStream.of(ids).filter(id -> weights[id] >= options.minP()).toArray();
        }
        if (options.typicalP() < 1) {
            ids = typical(ids, weights, logits, max);
        }
        double at = random.nextDouble() * sum(ids, weights);
        int last = ids[0];
        for (int id : ids) {
            if (weights[id] > 0) {
                last = id;
                at -= weights[id];
                if (at < 0) {
                    break;
                }
            }
        }
        return last;
    }

    private int[] typical(int[] ids, double[] weights, float[] logits, double max) {
        double total = sum(ids, weights);
        double logTotal = Math.log(total);
        double[] surprise = new double[sampleable];
        double entropy = 0;
        for (int id : ids) {
            surprise[id] = logTotal - ((double) logits[id] - max) / options.temperature();
            if (weights[id] > 0) {
                entropy += weights[id] / total * surprise[id];
            }
        }
        float[] typicality = new float[sampleable];
        for (int id : ids) {
            typicality[id] = (float) -Math.abs(surprise[id] - entropy);
        }
        return until(options.typicalP() * total, sorted(ids, typicality), weights);
    }

    private static double sum(int[] ids, double[] weights) {
        double sum = 0;
        for (int id : ids) {
            sum += weights[id];
        }
        return sum;
    }

    private static int[] until(double wanted, int[] ids, double[] weights) {
        double sum = 0;
        int taken = 0;
        while (taken < ids.length && (taken == 0 || sum < wanted)) {
            sum += weights[ids[taken++]];
        }
        return Arrays.copyOf(ids, taken);
    }
}
