package io.qwen4j.core.ops;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The contract of a backend. {@link JavaOps} is its definition; every other backend is tested against it.
 *
 * <p>Shapes use one alphabet: T tokens (rows of a step), D hidden, H query heads, K kv heads, E head size, F ffn size, V vocabulary rows, R
 * output rows. Activations are f32; sums are accumulated in f32 or better. An operation reads the first {@code rows} rows of its inputs and
 * writes the same rows of its output; rows beyond are left alone.
 *
 * <p>Operations are called by one thread at a time (the engine thread), allocate no Java memory and return when their result is there.
 * Weights may be uploaded by another thread before that. Wrong shapes throw {@link IllegalArgumentException}; memory that cannot be had
 * throws {@link io.qwen4j.InsufficientMemoryException}. After {@link #close()} everything made by this backend is freed or freeable; no
 * operation may run.
 */
public interface Ops extends AutoCloseable {
    /** This backend in words for people, such as {@code cpu avx512vnni, 2 threads}. */
    String description();

    /** Whether weights, activations and caches are in memory of the host, whose limits hold for them. */
    default boolean hostMemory() {
        return true;
    }

    /**
     * Memory that this backend can still take by a limit of its own, in bytes: the heap's for the Java backend, the device's where
     * it is not {@link #hostMemory()}. The limits of the machine and of its container are looked at elsewhere.
     */
    default long availableBytes() {
        return Long.MAX_VALUE;
    }

    /**
     * Takes a matrix, given as tensors whose rows follow each other. Their columns agree; their types may differ.
     *
     * @param parts at least one tensor
     * @param progress hears the number of bytes read, as they are read
     */
    Weight matrix(List<TensorSource> parts, java.util.function.LongConsumer progress);

    /**
     * Takes several matrices, as {@link #matrix} takes one, and may read them on several threads at once. If one fails, none is kept.
     *
     * @param matrices the parts of each matrix
     * @param progress hears the number of bytes read, as they are read, on the calling thread
     */
    default List<? extends Weight> matrices(List<? extends List<TensorSource>> matrices, java.util.function.LongConsumer progress) {
        List<Weight> taken = new ArrayList<>();
        try {
            for (List<TensorSource> parts : matrices) {
                taken.add(matrix(parts, progress));
            }
            return taken;
        } catch (RuntimeException | Error e) {
            taken.forEach(Weight::close);
            throw e;
        }
    }

    /**
     * Takes a vector (a norm's gain, a bias), given as tensors of one row that follow each other; kept as one row of f32.
     *
     * @param parts at least one tensor of type F32, F16 or BF16
     */
    Weight vector(List<TensorSource> parts);

    /** Memory that {@link #matrix} takes for a tensor, in bytes. */
    long matrixBytes(TensorSource part);

    /**
     * Memory that {@link #kvCache} takes, in bytes.
     *
     * @throws io.qwen4j.BackendUnavailableException if this backend has no kernels for such a cache
     */
    default long cacheBytes(KvLayout layout) {
        return layout.bytes();
    }

    /**
     * Memory that operations take beside what is made here, in bytes: their scratch, and what the backend leaves unused lest it runs out
     * of memory in the middle of a step.
     *
     * @param activationBytes all activations of a decoder
     * @param layout its cache
     * @param sparse whether keys are chosen
     */
    default long scratchBytes(long activationBytes, KvLayout layout, boolean sparse) {
        return 0;
    }

    /** Makes an activation of zeros. */
    Activation activation(int rows, int columns);

    /** Makes an array of zeros. */
    Ints ints(int count);

    /** Makes a KV cache. */
    KvCache kvCache(KvLayout layout);

    /** {@code x[t] = table[token(t)]} for the T tokens; table (V, D), x (T, D). Token ids were checked against V. */
    void embed(Weight table, Batch batch, Activation x);

    /** {@code y = x / sqrt(mean(x²) + epsilon) * gain} row by row; x, y (rows, D) may be the same, gain (1, D). */
    void rmsNorm(Activation x, int rows, Weight gain, float epsilon, Activation y);

    /** {@code y = x · wᵀ + bias}; x (rows, n), w (m, n), bias (1, m) or none, y (rows, m), not x. */
    void linear(Activation x, int rows, Weight w, @Nullable Weight bias, Activation y);

    /** {@code y += x · wᵀ}; x (rows, n), w (m, n), y (rows, m), not x. */
    void linearAdd(Activation x, int rows, Weight w, Activation y);

    /**
     * Rotates heads of {@code qkv} in place and writes keys and values to the cache at each token's slot. In plain attention query and
     * key heads are rotated, with {@link Rotations#KEY}; in dual chunk attention only key heads. Where keys are centred, a token at the
     * first slot of a page sets the page's centre: the key part of {@code bias}, rotated with the last section.
     *
     * <p>A section of rotations holds for each token the cosines of E/2 angles, then their sines. Element i and element i + E/2 of a head
     * are a pair: {@code (a, b) -> (a cos - b sin, b cos + a sin)}.
     *
     * @param qkv (T, (H + 2K) E)
     * @param bias what was added to all rows of qkv (1, (H + 2K) E), or none: all centres are zero then
     * @param rotations (T, {@link AttentionShape#rotationWidth()})
     */
    void rotateAndStore(
            Activation qkv,
            @Nullable Weight bias,
            Activation rotations,
            Batch batch,
            AttentionShape shape,
            KvCache cache,
            int layer);

    /**
     * Chooses keys for the runs of a step ({@link KeyChoice#begin}) within the budgets of its heads. Of a run that ends before position n the
     * last m = min(64, run) queries are scored against all n keys, in dual chunk attention with the uncapped sections of rotations; p are
     * the weights after softmax. The columns with the largest {@code Σ_i p[i,j]} are chosen, the first 30 in any case, and of the distances
     * 0 to n - m the ones with the largest {@code Σ_i p[i, position(i) - distance]}, the first 100 in any case; of equal ones the first. A head
     * attends to all keys if n is below 256 or one of its budgets covers all there are.
     *
     * @param qkv (T, (H + 2K) E), after {@link #rotateAndStore}
     * @param rotations those of {@link #rotateAndStore}
     */
    void chooseKeys(
            Activation qkv, Activation rotations, Batch batch, AttentionShape shape, KvCache cache, int layer, KeyChoice choice);

    /**
     * Causal attention of each token over its own sequence: the S cached tokens and those of the slice up to itself, all of which are in
     * the cache. {@code out[t,h] = Σ_s softmax_s(scale · q[t,h] · k[s,h/(H/K)]) v[s,h/(H/K)]}, softmax in f32. In dual chunk attention q is
     * rotated here, with the section that {@link AttentionShape#section} tells for each key.
     *
     * @param qkv (T, (H + 2K) E), after {@link #rotateAndStore}
     * @param rotations those of {@link #rotateAndStore}
     * @param choice keys of the sparse slices of the batch, or null if all tokens attend to all keys
     * @param out (T, H E)
     * @param logSumExp receives {@code ln Σ_s exp(scale · q · k)} of each token and head (T, H), unless null
     */
    void attention(
            Activation qkv,
            Activation rotations,
            Batch batch,
            AttentionShape shape,
            KvCache cache,
            int layer,
            @Nullable KeyChoice choice,
            Activation out,
            @Nullable Activation logSumExp);

    /** As above, of all tokens to all keys. */
    default void attention(
            Activation qkv, Activation rotations, Batch batch, AttentionShape shape, KvCache cache, int layer, Activation out) {
        attention(qkv, rotations, batch, shape, cache, layer, null, out, null);
    }

    /** {@code out[t,f] = silu(x[t,f]) · x[t,F+f]} with {@code silu(a) = a / (1 + e^-a)}; x (rows, 2F), out (rows, F). */
    void swiGlu(Activation x, int rows, Activation out);

    /**
     * Chooses the experts of each token: those with the largest scores, of equal ones the first. Their weights are their parts of the softmax
     * over all scores, divided by their sum where the routing is {@link Routing#normalized()}.
     *
     * @param scores (rows, experts)
     */
    void route(Activation scores, int rows, Routing routing);

    /**
     * The chosen experts' products with their tokens, {@code y[p] = x[token(p)] · w[expert(p)]ᵀ} for each pair p. Only what was chosen is read of
     * the experts.
     *
     * @param x (T, n)
     * @param w the matrices of the experts, one after the other, (experts m, n); no part of it belongs to two experts
     * @param y (pairs, m)
     */
    void expertLinear(Activation x, Routing routing, Weight w, Activation y);

    /**
     * Adds the chosen experts' results, {@code y[token(p)] += weight(p) · x[p] · w[expert(p)]ᵀ} for each pair p in order, so that the sum of a
     * token does not depend on other tokens.
     *
     * @param x (pairs, n)
     * @param w the matrices of the experts, one after the other, (experts m, n); no part of it belongs to two experts
     * @param y (T, m)
     */
    void expertLinearAdd(Activation x, Routing routing, Weight w, Activation y);

    /** {@code x[t] *= 1 / (1 + e^-gate[t])}; x (rows, n), gate (rows, 1). */
    void sigmoidGate(Activation x, int rows, Activation gate);

    /** {@code x = max(x, 0)} in place; NaN stays; x (rows, n). */
    void relu(Activation x, int rows);

    /** {@code out[r] = x[output(r)]} for the R output rows; x (T, D), out (R, D). */
    void gatherOutputs(Activation x, Batch batch, Activation out);

    /**
     * Runs a walk. A backend may record its operations and, in a later step of the same numbers, run what it recorded instead of the walk.
     *
     * <p>So a walk calls the same operations on the same operands whenever its batches have as many tokens, sequences and outputs. What differs
     * between steps are the integers of the batch and activations that the host wrote before; no activation is looked at within the walk. It
     * is called again for the same step where recording it failed, in which case nothing was computed.
     *
     * @param batch the batch of all its operations
     * @param shape the shape of all its attention, of all tokens to all keys
     * @param cache the cache of all its attention
     */
    default void repeat(Walk walk, Batch batch, AttentionShape shape, KvCache cache) {
        walk.run();
    }

    /** Whether {@link #selectLogits} takes less time than looking at the logits, as where they are on a device. */
    default boolean selectsLogits() {
        return false;
    }

    /**
     * Finds what a selection asks of rows of logits.
     *
     * @param logits (R, V), not changed
     */
    default void selectLogits(Activation logits, LogitSelection selection) {
        PlainSelection.select(logits, selection);
    }

    /** Ends the backend's threads and frees what it still owns. Idempotent. */
    @Override
    void close();
}
