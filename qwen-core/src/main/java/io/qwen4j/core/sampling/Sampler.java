package io.qwen4j.core.sampling;

import io.qwen4j.NumericException;
import io.qwen4j.SamplingOptions;
import java.nio.FloatBuffer;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Chooses the tokens of one request. Nothing is allocated per token. Not thread-safe.
 *
 * <p>The steps and their order are those of {@link SamplingOptions}, which are those of Hugging Face transformers: bias, penalties,
 * temperature, top-k, top-p, min-p, typical. Top-k keeps exactly k tokens, of equal logits those with the lowest ids. Top-p keeps the token
 * that crosses the sum. Random numbers are those of SplitMix64 with the seed as its state, one for each token that is not greedy: the same
 * seed, options and logits give the same tokens on every JDK.
 */
public final class Sampler {
    private final int rows;
    private final int sampleable;
    private final float temperature;
    private final int topK;
    private final float topP;
    private final float minP;
    private final float typicalP;
    private final Penalties penalties;
    private final RandomSource random;
    /** The row being sampled from, with bias and penalties. */
    private final float[] logits;

    private final CandidateHeap candidates;
    /** Probabilities relative to the most probable token, by place among the candidates. */
    private final double[] weights;
    /** By id: the less surprising against the expected surprise, the greater. Empty without typical sampling. */
    private final float[] typicality;

    /**
     * Prepares for a request.
     *
     * @param rows vocabulary rows of the model, V
     * @param sampleable ids from here on stand for no text and are never sampled; at most {@code rows}
     * @param prompt ids of the prompt, for the repetition penalty
     * @throws IllegalArgumentException if a biased or prompt id is no row of the vocabulary
     */
    public Sampler(SamplingOptions options, int rows, int sampleable, IntStream prompt) {
        if (sampleable < 1 || sampleable > rows) {
            throw new IllegalArgumentException("sampleable ids must be 1 to " + rows + ", found " + sampleable);
        }
        this.rows = rows;
        this.sampleable = sampleable;
        temperature = options.temperature();
        topK = options.topK() == 0 ? sampleable : Math.min(options.topK(), sampleable);
        topP = options.topP();
        minP = options.minP();
        typicalP = options.typicalP();
        penalties = new Penalties(options, rows, sampleable);
        Long seed = options.seed();
        random = new RandomSource(seed != null ? seed : new SplittableRandom().nextLong());
        logits = new float[rows];
        int capacity = temperature == 0 ? 0 : topK;
        candidates = new CandidateHeap(capacity);
        weights = new double[capacity];
        typicality = new float[temperature == 0 || typicalP == 1 ? 0 : sampleable];
        prompt.forEach(id -> {
            if (id < 0 || id >= rows) {
                throw new IllegalArgumentException("the prompt has token " + id + ", the model has " + rows + " rows of vocabulary");
            }
            penalties.acceptPrompt(id);
        });
    }

    /** Prepares for a request whose prompt is an array. */
    public Sampler(SamplingOptions options, int rows, int sampleable, int[] prompt) {
        this(options, rows, sampleable, IntStream.of(prompt));
    }

    /**
     * Chooses a token and remembers it as part of the answer.
     *
     * @param source logits, V for each row; its position is not changed
     * @param offset index in {@code source} of the row's first value
     * @throws NumericException if a logit is NaN or positive infinity, or every token is forbidden
     */
    public int sample(FloatBuffer source, int offset) {
        source.get(offset, logits, 0, rows);
        checkFinite();
        penalties.apply(logits, sampleable);
        int best = argmax();
        int chosen = temperature == 0 ? best : draw(logits[best]);
        penalties.acceptAnswer(chosen);
        return chosen;
    }

    /** Remembers a token that was chosen by other means as part of the answer. */
    public void accept(int id) {
        penalties.acceptAnswer(java.util.Objects.checkIndex(id, rows));
    }

    private void checkFinite() {
        for (int id = 0; id < rows; id++) {
            float logit = logits[id];
            if (!(logit < Float.POSITIVE_INFINITY)) {
                throw new NumericException("the logit of token " + id + " is " + logit
                        + "; the weights or activations hold values that are no numbers, or exceed the range of their type");
            }
        }
    }

    /** The lowest id of the greatest logit. */
    private int argmax() {
        int best = 0;
        for (int id = 1; id < sampleable; id++) {
            if (logits[id] > logits[best]) {
                best = id;
            }
        }
        if (logits[best] == Float.NEGATIVE_INFINITY) {
            throw new NumericException(
                    "no token is left to choose: every logit is -Infinity, by the model or by logitBias (" + sampleable + " tokens)");
        }
        return best;
    }

    /** Differences are divided, not logits: so the smallest temperature gives weights of 0 and 1 and nothing infinite. */
    private double weight(int id, float max) {
        return Exponential.of(((double) logits[id] - max) / temperature);
    }

    private int draw(float max) {
        if (topK < sampleable) {
            candidates.takeFirst(topK, logits, sampleable);
            double total = weigh(max);
            candidates.truncate(topP < 1 ? nucleus(topP * total) : candidates.size());
        } else if (topP < 1) {
            takeNucleus(max);
        } else {
            takeProbable(max);
        }
        if (minP > 0) {
            keepAtLeast(minP);
        }
        if (typicalP < 1) {
            keepTypical(max);
        }
        return pick();
    }

    /** Sets the weights of the candidates and gives their sum. */
    private double weigh(float max) {
        double total = 0;
        for (int i = 0; i < candidates.size(); i++) {
            weights[i] = weight(candidates.id(i), max);
            total += weights[i];
        }
        return total;
    }

    /** Number of candidates, taken in order, whose weights reach a sum; at least one. */
    private int nucleus(double wanted) {
        double sum = 0;
        for (int i = 0; i < candidates.size(); i++) {
            sum += weights[i];
            if (sum >= wanted) {
                return i + 1;
            }
        }
        return candidates.size();
    }

    /**
     * Top-p over the whole vocabulary. Tokens below (1 - topP) / V of all probability cannot be in the nucleus, since together they are
     * less than what is left out; the others, a few hundred of 152,000 as a rule, are taken from a heap until the sum is reached.
     */
    private void takeNucleus(float max) {
        double total = 0;
        for (int id = 0; id < sampleable; id++) {
            total += weight(id, max);
        }
        // In logits, and a little lower, so that rounding leaves out none.
        double least = Math.min(max, max + temperature * (Math.log((1.0 - topP) * total / sampleable) - 1e-3));
        candidates.clear();
        for (int id = 0; id < sampleable; id++) {
            if (logits[id] >= least && logits[id] > Float.NEGATIVE_INFINITY) {
                candidates.add(id);
            }
        }
        candidates.heapify(logits);
        double wanted = topP * total;
        double sum = 0;
        int taken = 0;
        while (taken < candidates.size() && (taken == 0 || sum < wanted)) {
            sum += weight(candidates.pop(logits, candidates.size() - taken), max);
            taken++;
        }
        candidates.keepPopped(taken);
        weigh(max);
    }

    /** All tokens that have a probability. */
    private void takeProbable(float max) {
        candidates.clear();
        for (int id = 0; id < sampleable; id++) {
            double weight = weight(id, max);
            if (weight > 0) {
                weights[candidates.size()] = weight;
                candidates.add(id);
            }
        }
    }

    private void keepAtLeast(double least) {
        int kept = 0;
        for (int i = 0; i < candidates.size(); i++) {
            if (weights[i] >= least) {
                weights[kept] = weights[i];
                candidates.move(i, kept++);
            }
        }
        candidates.truncate(kept);
    }

    /** Keeps the tokens whose surprise is closest to the entropy until their probabilities reach a sum. */
    private void keepTypical(float max) {
        double total = 0;
        for (int i = 0; i < candidates.size(); i++) {
            total += weights[i];
        }
        double logTotal = Math.log(total);
        double entropy = 0;
        for (int i = 0; i < candidates.size(); i++) {
            if (weights[i] > 0) {
                entropy += weights[i] / total * surprise(i, max, logTotal);
            }
        }
        for (int i = 0; i < candidates.size(); i++) {
            typicality[candidates.id(i)] = (float) -Math.abs(surprise(i, max, logTotal) - entropy);
        }
        candidates.heapify(typicality);
        double wanted = typicalP * total;
        double sum = 0;
        int taken = 0;
        while (taken < candidates.size() && (taken == 0 || sum < wanted)) {
            sum += weight(candidates.pop(typicality, candidates.size() - taken), max);
            taken++;
        }
        candidates.keepPopped(taken);
        weigh(max);
    }

    /** Minus the logarithm of a candidate's probability; from the logit, since a small weight has none. */
    private double surprise(int candidate, float max, double logTotal) {
        return logTotal - ((double) logits[candidates.id(candidate)] - max) / temperature;
    }

    private int pick() {
        double total = 0;
        for (int i = 0; i < candidates.size(); i++) {
            total += weights[i];
        }
        double at = random.nextDouble() * total;
        int last = 0;
        for (int i = 0; i < candidates.size(); i++) {
            if (weights[i] > 0) {
                last = i;
                at -= weights[i];
                if (at < 0) {
                    break;
                }
            }
        }
        return candidates.id(last);
    }
}
