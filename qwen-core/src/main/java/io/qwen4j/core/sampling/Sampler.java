package io.qwen4j.core.sampling;

import io.qwen4j.NumericException;
import io.qwen4j.SamplingOptions;
import io.qwen4j.core.ops.LogitSelection;
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
    /** What {@link #sample(LogitSelection, int)} returns if only the whole row tells. */
    public static final int NEEDS_ROW = -1;

    /**
     * How far a sum may be from the one that is taken in order, relatively: sums of 2<sup>24</sup> terms are within 2e-9 of the exact one. The
     * whole row is looked at where that matters, once in 10<sup>8</sup> tokens.
     */
    private static final double SUM_MARGIN = 1e-8;

    private final int rows;
    private final int sampleable;
    private final float temperature;
    private final int topK;
    private final float topP;
    private final float minP;
    private final float typicalP;
    private final Penalties penalties;
    private final RandomSource random;
    /** Candidates that are asked of a selection, or 0 if they would not do. */
    private final int wanted;
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
        wanted = wanted();
        logits = new float[rows];
        int capacity = temperature == 0 ? 1 : topK;
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
        int chosen = best;
        if (temperature > 0) {
            narrow(logits[best]);
            chosen = draw(logits[best]);
        }
        penalties.acceptAnswer(chosen);
        return chosen;
    }

    private int wanted() {
        if (temperature == 0) {
            return 1;
        }
        if (topK < sampleable) {
            return topK <= LogitSelection.MOST_CANDIDATES ? topK : 0;
        }
        // Without a filter every token may be drawn, and the sum that the draw is made from is defined by its order.
        return topP < 1 || minP > 0 ? Math.min(LogitSelection.MOST_CANDIDATES, sampleable) : 0;
    }

    /**
     * Asks a selection for what {@link #sample(LogitSelection, int)} needs of a row of logits.
     *
     * @param foreseen tokens that will be part of the answer by then: from {@code from} until {@code to}
     * @return whether it was asked; if not, the whole row is needed
     */
    public boolean select(LogitSelection selection, int row, int[] foreseen, int from, int to) {
        if (wanted == 0) {
            return false;
        }
        boolean summed = temperature > 0 && topK == sampleable && topP < 1;
        selection.add(row, wanted, summed ? temperature : 0);
        if (!penalties.setApart(selection, foreseen, from, to)) {
            selection.removeLast();
            return false;
        }
        return true;
    }

    /**
     * Chooses the token that {@link #sample(FloatBuffer, int)} chooses, by what {@link #select} asked for.
     *
     * @return {@link #NEEDS_ROW} if that does not tell; nothing is remembered then
     * @throws NumericException as {@link #sample(FloatBuffer, int)} does
     */
    public int sample(LogitSelection selection, int row) {
        if (selection.refused(row) >= 0) {
            throw refused(selection.refused(row), selection.refusedLogit(row));
        }
        candidates.clear();
        for (int i = 0; i < selection.size(row); i++) {
            int id = selection.id(row, i);
            logits[id] = selection.logit(row, i);
            candidates.add(id);
        }
        for (int i = 0; i < selection.apart(row); i++) {
            logits[selection.apartId(row, i)] = selection.apartLogit(row, i);
        }
        penalties.apply(logits, sampleable);
        float greatest = candidates.size() == 0 ? Float.NEGATIVE_INFINITY : logits[candidates.id(0)];
        for (int i = 0; i < selection.apart(row); i++) {
            int id = selection.apartId(row, i);
            if (id < sampleable && logits[id] > Float.NEGATIVE_INFINITY) {
                candidates.insert(id, wanted, logits);
            }
        }
        if (candidates.size() == 0) {
            throw noneLeft();
        }
        int chosen = candidates.id(0);
        if (temperature > 0) {
            float max = logits[chosen];
            if (!narrow(selection, row, greatest, max)) {
                return NEEDS_ROW;
            }
            chosen = draw(max);
        }
        penalties.acceptAnswer(chosen);
        return chosen;
    }

    /** Leaves the candidates that {@link #narrow(float)} leaves. Returns whether they are known. */
    private boolean narrow(LogitSelection selection, int row, float greatest, float max) {
        if (topK < sampleable) {
            keepNucleusOfFirst(max);
            return true;
        }
        return topP < 1 ? keepNucleus(total(selection, row, greatest, max), max) : keepAtLeastOfFirst(minP, max);
    }

    /** About the sum of the weights of all tokens, of which the selection summed those that it did not set apart, relative to its greatest. */
    private double total(LogitSelection selection, int row, float greatest, float max) {
        double total = 0;
        if (selection.size(row) > 0) {
            total = selection.sum(row) * Exponential.of(((double) greatest - max) / temperature);
        }
        for (int i = 0; i < selection.apart(row); i++) {
            int id = selection.apartId(row, i);
            total += id < sampleable ? Exponential.of(((double) logits[id] - max) / temperature) : 0;
        }
        return total;
    }

    /** Keeps the nucleus of all tokens, if it is certain which it is: it lies within the first ones, and ends where the sum leaves no doubt. */
    private boolean keepNucleus(double total, float max) {
        weigh(max);
        double least = topP * total;
        double sum = 0;
        for (int i = 0; i < candidates.size(); i++) {
            sum += weights[i];
            if (sum >= least * (1 - SUM_MARGIN)) {
                candidates.truncate(i + 1);
                return sum >= least * (1 + SUM_MARGIN);
            }
        }
        return false;
    }

    /** Keeps what {@link #takeAtLeast} takes, if all of it is among the first ones. */
    private boolean keepAtLeastOfFirst(double weight, float max) {
        float least = leastLogit(weight, max);
        int kept = candidates.size();
        if (kept == wanted && kept < sampleable && logits[candidates.id(kept - 1)] >= least) {
            return false;
        }
        while (kept > 0 && logits[candidates.id(kept - 1)] < least) {
            kept--;
        }
        candidates.truncate(kept);
        candidates.sortById();
        weigh(max);
        return true;
    }

    /** Remembers a token that was chosen by other means as part of the answer. */
    public void accept(int id) {
        penalties.acceptAnswer(java.util.Objects.checkIndex(id, rows));
    }

    private void checkFinite() {
        for (int id = 0; id < rows; id++) {
            float logit = logits[id];
            if (!(logit < Float.POSITIVE_INFINITY)) {
                throw refused(id, logit);
            }
        }
    }

    private static NumericException refused(int id, float logit) {
        return new NumericException("the logit of token " + id + " is " + logit
                + "; the weights or activations hold values that are no numbers, or exceed the range of their type");
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
            throw noneLeft();
        }
        return best;
    }

    private NumericException noneLeft() {
        return new NumericException(
                "no token is left to choose: every logit is -Infinity, by the model or by logitBias (" + sampleable + " tokens)");
    }

    /** Takes the candidates that top-k, top-p or else min-p leave, and their weights. */
    private void narrow(float max) {
        if (topK < sampleable) {
            candidates.takeFirst(topK, logits, sampleable);
            keepNucleusOfFirst(max);
        } else if (topP < 1) {
            takeNucleus(max);
        } else if (minP > 0) {
            takeAtLeast(minP, max);
        } else {
            takeProbable(max);
        }
    }

    /** Draws one of the candidates that are left. */
    private int draw(float max) {
        if (minP > 0) {
            keepAtLeast(minP);
        }
        if (typicalP < 1) {
            keepTypical(max);
        }
        return pick();
    }

    /** Weighs the k first ones and keeps those whose weights reach top-p of the sum of all k. */
    private void keepNucleusOfFirst(float max) {
        double total = weigh(max);
        candidates.truncate(topP < 1 ? nucleus(topP * total) : candidates.size());
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
