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

    private final Candidates candidates;
    /** Probabilities relative to the most probable token, by place among the candidates. */
    private final double[] weights;

    private final CandidateOrder order;
    private final Exponentials exponentials = new Exponentials();

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
        candidates = new Candidates(capacity);
        weights = new double[capacity];
        order = new CandidateOrder(typicalP < 1 || topP < 1 && topK == sampleable ? capacity : 0);
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

    private int draw(float max) {
        if (topK < sampleable) {
            candidates.takeFirst(topK, logits, sampleable);
            double total = weigh(max);
            candidates.truncate(topP < 1 ? nucleus(topP * total) : candidates.size());
        } else if (topP < 1) {
            takeNucleus(max);
        } else if (minP > 0) {
            takeAtLeast(minP, max);
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
        for (int from = 0; from < candidates.size(); from += Exponentials.BLOCK) {
            int n = Math.min(Exponentials.BLOCK, candidates.size() - from);
            exponentials.takeCandidates(logits, candidates, from, n, max, temperature);
            for (int i = 0; i < n; i++) {
                weights[from + i] = exponentials.get(i);
                total += weights[from + i];
            }
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
     * less than what is left out; the others, a few hundred of 152,000 as a rule, are sorted.
     */
    private void takeNucleus(float max) {
        double total = 0;
        for (int from = 0; from < sampleable; from += Exponentials.BLOCK) {
            int n = Math.min(Exponentials.BLOCK, sampleable - from);
            exponentials.takeRow(logits, from, n, max, temperature);
            for (int i = 0; i < n; i++) {
                total += exponentials.get(i);
            }
        }
        order.takeAtLeast(leastLogit((1.0 - topP) * total / sampleable, max), logits, sampleable);
        order.sort();
        takeOrdered(topP * total, max, true);
    }

    /** The least logit whose weight may be as great as this; a little lower, so that rounding leaves out none, and finite. */
    private float leastLogit(double weight, float max) {
        double least = Math.min(max, max + temperature * (Math.log(weight) - 1e-3));
        float rounded = (float) least;
        return Math.max(-Float.MAX_VALUE, rounded < least ? Math.nextUp(rounded) : rounded);
    }

    /**
     * Takes what was sorted, in order, until the weights reach a sum; at least one.
     *
     * @param byLogit whether logits were sorted
     */
    private void takeOrdered(double wanted, float max, boolean byLogit) {
        candidates.clear();
        double sum = 0;
        for (int from = 0; from < order.size(); from += Exponentials.BLOCK) {
            int n = Math.min(Exponentials.BLOCK, order.size() - from);
            for (int i = 0; i < n; i++) {
                candidates.add(order.id(from + i));
            }
            if (byLogit) {
                exponentials.takeKeys(order, from, n, max, temperature);
            } else {
                exponentials.takeCandidates(logits, candidates, from, n, max, temperature);
            }
            for (int i = 0; i < n; i++) {
                weights[from + i] = exponentials.get(i);
                sum += weights[from + i];
                if (sum >= wanted) {
                    candidates.truncate(from + i + 1);
                    return;
                }
            }
        }
    }

    /** All tokens that have a probability. */
    private void takeProbable(float max) {
        candidates.clear();
        for (int from = 0; from < sampleable; from += Exponentials.BLOCK) {
            int n = Math.min(Exponentials.BLOCK, sampleable - from);
            exponentials.takeRow(logits, from, n, max, temperature);
            for (int i = 0; i < n; i++) {
                double weight = exponentials.get(i);
                if (weight > 0) {
                    weights[candidates.size()] = weight;
                    candidates.add(from + i);
                }
            }
        }
    }

    /** All tokens whose weight may be as great as this: only theirs are computed. */
    private void takeAtLeast(double weight, float max) {
        float least = leastLogit(weight, max);
        candidates.clear();
        for (int id = 0; id < sampleable; id++) {
            if (logits[id] >= least) {
                candidates.add(id);
            }
        }
        weigh(max);
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
        order.clear();
        for (int i = 0; i < candidates.size(); i++) {
            order.add((float) -Math.abs(surprise(i, max, logTotal) - entropy), candidates.id(i));
        }
        order.sort();
        takeOrdered(typicalP * total, max, false);
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
