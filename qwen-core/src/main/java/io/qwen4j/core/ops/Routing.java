package io.qwen4j.core.ops;

import java.nio.IntBuffer;

/**
 * Which tokens of a step go to which experts, as {@link Ops#route} decided: pairs of token and expert, ordered by expert, then by token. Made
 * once and reused; both sides see its memory.
 *
 * <p>Not thread-safe: the engine thread owns it.
 */
public final class Routing implements AutoCloseable {
    // Layout of the memory, as native/cpu/routing.h: a head of four, the first pair of each expert and the end, tokens, weights.
    static final int EXPERTS = 0;
    static final int USED = 1;
    static final int NORMALIZED = 2;
    static final int TOKENS = 3;
    static final int HEAD = 4;

    private final Ints memory;
    /** For the head, which the host always has; pairs may first have to come from a device. */
    private final IntBuffer data;
    private final int maxTokens;
    private final int experts;
    private final int used;

    /**
     * Makes a routing without pairs.
     *
     * @param maxTokens most tokens of a step
     * @param experts number of experts
     * @param used experts chosen for each token, 1 to {@code experts}
     * @param normalized whether the weights of a token's experts are divided by their sum
     */
    public Routing(Ops ops, int maxTokens, int experts, int used, boolean normalized) {
        if (maxTokens < 1 || used < 1 || used > experts) {
            throw new IllegalArgumentException(maxTokens + " tokens to " + used + " of " + experts + " experts");
        }
        this.maxTokens = maxTokens;
        this.experts = experts;
        this.used = used;
        memory = ops.ints(Math.toIntExact(bytes(maxTokens, experts, used) / 4));
        data = memory.buffer();
        data.put(EXPERTS, experts);
        data.put(USED, used);
        data.put(NORMALIZED, normalized ? 1 : 0);
    }

    /** Memory that it takes, in bytes. */
    public static long bytes(int maxTokens, int experts, int used) {
        return 4 * (HEAD + experts + 1 + 2L * maxTokens * used);
    }

    /** Number of experts. */
    public int experts() {
        return experts;
    }

    /** Experts chosen for each token. */
    public int used() {
        return used;
    }

    /** Whether the weights of a token's experts are divided by their sum. */
    public boolean normalized() {
        return data.get(NORMALIZED) != 0;
    }

    /** Most tokens. */
    public int maxTokens() {
        return maxTokens;
    }

    /** Tokens of the step. */
    public int tokens() {
        return data.get(TOKENS);
    }

    /** Number of pairs. */
    public int pairs() {
        return tokens() * used;
    }

    /** First pair of an expert; that of expert {@code experts()} is the number of pairs. */
    public int first(int expert) {
        return memory.buffer().get(HEAD + expert);
    }

    /** Token of a pair. */
    public int token(int pair) {
        return memory.buffer().get(HEAD + experts + 1 + pair);
    }

    /** Weight of a pair. */
    public float weight(int pair) {
        return Float.intBitsToFloat(memory.buffer().get(HEAD + experts + 1 + maxTokens * used + pair));
    }

    /** The memory that a backend reads and writes. */
    public Ints memory() {
        return memory;
    }

    void begin(int tokens) {
        data.put(TOKENS, tokens);
    }

    void setFirst(int expert, int pair) {
        data.put(HEAD + expert, pair);
    }

    void set(int pair, int token, float weight) {
        data.put(HEAD + experts + 1 + pair, token);
        data.put(HEAD + experts + 1 + maxTokens * used + pair, Float.floatToRawIntBits(weight));
    }

    @Override
    public void close() {
        memory.close();
    }
}
