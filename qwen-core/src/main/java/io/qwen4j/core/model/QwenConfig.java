package io.qwen4j.core.model;

import java.util.Set;
import java.util.StringJoiner;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Hyper-parameters of a decoder, checked and complete, from config.json or GGUF metadata.
 *
 * @param architecture {@code qwen2} or {@code qwen2_moe}
 * @param layers decoder layers
 * @param hiddenSize D
 * @param heads H
 * @param kvHeads K, a divisor of H
 * @param headSize E, a multiple of 16
 * @param ffnSize F of the layers without experts
 * @param vocabularyRows V, rows of the embedding
 * @param tiedHead whether the output layer is the embedding; false with a reward head
 * @param normEpsilon added to the mean square in RMSNorm
 * @param contextLength longest sequence that the files state, in tokens
 * @param rope rotary position embedding
 * @param experts the mixture of experts, or null if all layers are dense
 * @param head what is computed of the last hidden states
 */
public record QwenConfig(
        String architecture,
        int layers,
        int hiddenSize,
        int heads,
        int kvHeads,
        int headSize,
        int ffnSize,
        int vocabularyRows,
        boolean tiedHead,
        float normEpsilon,
        int contextLength,
        Rope rope,
        @Nullable Experts experts,
        Head head) {
    /** A dense language model. */
    public QwenConfig(
            String architecture,
            int layers,
            int hiddenSize,
            int heads,
            int kvHeads,
            int headSize,
            int ffnSize,
            int vocabularyRows,
            boolean tiedHead,
            float normEpsilon,
            int contextLength,
            Rope rope) {
        this(architecture, layers, hiddenSize, heads, kvHeads, headSize, ffnSize, vocabularyRows, tiedHead, normEpsilon, contextLength,
                rope, null, Head.LANGUAGE);
    }

    /** The same with other positions. */
    public QwenConfig with(Rope rope, int contextLength) {
        return new QwenConfig(architecture, layers, hiddenSize, heads, kvHeads, headSize, ffnSize, vocabularyRows, tiedHead, normEpsilon,
                contextLength, rope, experts, head);
    }

    /** The same with a mixture of experts, or without. */
    public QwenConfig with(@Nullable Experts experts) {
        return new QwenConfig(architecture, layers, hiddenSize, heads, kvHeads, headSize, ffnSize, vocabularyRows, tiedHead, normEpsilon,
                contextLength, rope, experts, head);
    }

    /** The same with another head. */
    public QwenConfig with(Head head) {
        return new QwenConfig(architecture, layers, hiddenSize, heads, kvHeads, headSize, ffnSize, vocabularyRows, tiedHead, normEpsilon,
                contextLength, rope, experts, head);
    }

    /** Numbers that the head computes for a token: V logits, or the outputs of a reward head. */
    public int outputs() {
        return head == Head.LANGUAGE ? vocabularyRows : head.rewards();
    }

    /** Whether there is a layer without experts. */
    public boolean hasDenseLayers() {
        return !IntStream.range(0, layers).allMatch(this::sparse);
    }

    /** Whether a layer has experts. */
    public boolean sparse(int layer) {
        return experts != null && (layer + 1) % experts.sparseStep() == 0 && !experts.denseLayers().contains(layer);
    }

    /** What is computed of the last hidden states. */
    public enum Head {
        /** Logits of the vocabulary. */
        LANGUAGE(0),
        /** One number that tells how good a conversation is. */
        REWARD(1),
        /** Two logits at the end of a step: that it is wrong, that it is right. */
        PROCESS_REWARD(2);

        private final int rewards;

        Head(int rewards) {
            this.rewards = rewards;
        }

        /** Outputs of the reward head for each token; 0 if there is none. */
        public int rewards() {
            return rewards;
        }
    }

    /**
     * Mixture of experts (Qwen1.5-MoE): a router chooses some of the routed experts for each token, one shared expert sees all.
     *
     * @param count routed experts
     * @param used experts chosen for a token, 1 to {@code count}
     * @param ffnSize F of a routed expert
     * @param sharedFfnSize F of the shared expert
     * @param normalized whether the weights of the chosen experts are divided by their sum
     * @param sparseStep layer i has experts if i + 1 is a multiple of it
     * @param denseLayers layers that have none all the same
     */
    public record Experts(
            int count, int used, int ffnSize, int sharedFfnSize, boolean normalized, int sparseStep, Set<Integer> denseLayers) {
        /** Copies the set. */
        public Experts {
            denseLayers = Set.copyOf(denseLayers);
        }
    }

    /**
     * Rotary position embedding.
     *
     * @param theta base of the frequencies
     * @param yarn YaRN scaling, or null for none
     * @param dualChunk dual chunk attention, or null for none
     */
    public record Rope(double theta, @Nullable Yarn yarn, @Nullable DualChunk dualChunk) {
        /** Rotary position embedding without dual chunk attention. */
        public Rope(double theta, @Nullable Yarn yarn) {
            this(theta, yarn, null);
        }

        /** How positions are extended, for people. */
        public String description() {
            StringJoiner parts = new StringJoiner(", ");
            parts.setEmptyValue("plain");
            if (yarn != null) {
                parts.add("YaRN with factor " + number(yarn.factor()) + " from " + yarn.originalContextLength() + " tokens");
            }
            if (dualChunk != null) {
                parts.add("dual chunks with distances up to " + dualChunk.chunkSize() + " tokens, " + dualChunk.localSize() + " local"
                        + (dualChunk.originalContextLength() == 0
                                ? "" : ", scaled from " + dualChunk.originalContextLength() + " tokens"));
            }
            return parts.toString();
        }

        private static String number(double value) {
            return value == Math.rint(value) ? Long.toString((long) value) : Double.toString(value);
        }
    }

    /**
     * Dual Chunk Attention (An et al., 2402.17463), with the positions of the reference implementation. A sequence is cut into chunks of
     * C = S - W tokens. A key is rotated by its offset in its chunk; a query by its offset o for keys of its own chunk, by
     * {@code min(C + o, S)} for those of the chunk before, and by {@code min(2C - 1, S)} for all older ones.
     *
     * @param chunkSize S: no distance is larger
     * @param localSize W, below S
     * @param originalContextLength tokens up to which logits are not scaled; beyond, at n tokens, they are multiplied by
     *     {@code (0.1 ln(n / original) + 1)²}. 0 for no scaling
     */
    public record DualChunk(int chunkSize, int localSize, int originalContextLength) {
        /** C. */
        public int chunkLength() {
            return chunkSize - localSize;
        }
    }

    /**
     * YaRN scaling (Peng et al., 2309.00071) in the static form, with {@code factor} honoured.
     *
     * @param factor s, above 0
     * @param originalContextLength training length in tokens
     * @param attentionFactor factor on cosines and sines, computed already where the files leave it out
     * @param betaFast turns above which a dimension is kept
     * @param betaSlow turns below which a dimension is interpolated
     * @param truncate whether the borders are rounded to whole dimensions
     */
    public record Yarn(
            double factor, int originalContextLength, double attentionFactor, double betaFast, double betaSlow, boolean truncate) {
        /** Pair of dimensions, of those of a head, up to which frequencies stay. */
        public double low(double theta, int headSize) {
            double low = dimension(betaFast, theta, headSize);
            return Math.max(truncate ? Math.floor(low) : low, 0);
        }

        /** Pair of dimensions from which frequencies are interpolated fully; above {@link #low}, or equal, unless the values are absurd. */
        public double high(double theta, int headSize) {
            double high = dimension(betaSlow, theta, headSize);
            return Math.min(truncate ? Math.ceil(high) : high, headSize - 1);
        }

        /** The pair (as a real number) whose wave makes {@code turns} turns within the training length. */
        private double dimension(double turns, double theta, int headSize) {
            return headSize * Math.log(originalContextLength / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
        }
    }
}
