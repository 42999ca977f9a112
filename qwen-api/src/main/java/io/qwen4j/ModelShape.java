package io.qwen4j;

/**
 * The shapes of the models of the family. Common to all: RMSNorm with an epsilon of 1e-6, RoPE with a base of 1,000,000, and biases on
 * queries, keys and values. Source: table 1 of the Qwen2.5 technical report (arXiv 2412.15115) and the configurations of the Instruct
 * models. The mixtures of experts of Qwen2.5 were not published; those of Qwen1.5 and Qwen2 have its architecture.
 */
public enum ModelShape {
    /** 0.5B: 24 layers, 0.49 billion parameters. */
    QWEN25_0_5B("0.5B", 24, 896, 14, 2, 4864, 151936, true),
    /** 1.5B: 28 layers, 1.54 billion parameters. */
    QWEN25_1_5B("1.5B", 28, 1536, 12, 2, 8960, 151936, true),
    /** 3B: 36 layers, 3.09 billion parameters. */
    QWEN25_3B("3B", 36, 2048, 16, 2, 11008, 151936, true),
    /** 7B: 28 layers, 7.62 billion parameters. */
    QWEN25_7B("7B", 28, 3584, 28, 4, 18944, 152064, false),
    /** 14B: 48 layers, 14.77 billion parameters. */
    QWEN25_14B("14B", 48, 5120, 40, 8, 13824, 152064, false),
    /** 32B: 64 layers, 32.76 billion parameters. */
    QWEN25_32B("32B", 64, 5120, 40, 8, 27648, 152064, false),
    /** 72B: 80 layers, 72.71 billion parameters. */
    QWEN25_72B("72B", 80, 8192, 64, 8, 29568, 152064, false),
    /** Qwen1.5-MoE-A2.7B: 24 layers, 60 experts; 14.32 billion parameters, of which a token uses 2.69 billion. */
    QWEN15_MOE_A2_7B("A2.7B-MoE", 24, 2048, 16, 16, 5632, 151936, false, 8192, 60, 4, 1408, 5632),
    /** Qwen2-57B-A14B: 28 layers, 64 experts; 57.41 billion parameters, of which a token uses 14.25 billion. */
    QWEN2_57B_A14B("57B-A14B-MoE", 28, 3584, 28, 4, 18944, 151936, false, 32_768, 64, 8, 2560, 20480);

    private final String label;
    private final int layers;
    private final int hiddenSize;
    private final int heads;
    private final int kvHeads;
    private final int ffnSize;
    private final int vocabularyRows;
    private final boolean tiedHead;
    private final int contextLength;
    private final int experts;
    private final int expertsUsed;
    private final int expertFfnSize;
    private final int sharedExpertFfnSize;

    ModelShape(
            String label, int layers, int hiddenSize, int heads, int kvHeads, int ffnSize, int vocabularyRows, boolean tiedHead) {
        this(label, layers, hiddenSize, heads, kvHeads, ffnSize, vocabularyRows, tiedHead, 32_768, 0, 0, 0, 0);
    }

    ModelShape(
            String label,
            int layers,
            int hiddenSize,
            int heads,
            int kvHeads,
            int ffnSize,
            int vocabularyRows,
            boolean tiedHead,
            int contextLength,
            int experts,
            int expertsUsed,
            int expertFfnSize,
            int sharedExpertFfnSize) {
        this.label = label;
        this.layers = layers;
        this.hiddenSize = hiddenSize;
        this.heads = heads;
        this.kvHeads = kvHeads;
        this.ffnSize = ffnSize;
        this.vocabularyRows = vocabularyRows;
        this.tiedHead = tiedHead;
        this.contextLength = contextLength;
        this.experts = experts;
        this.expertsUsed = expertsUsed;
        this.expertFfnSize = expertFfnSize;
        this.sharedExpertFfnSize = sharedExpertFfnSize;
    }

    /**
     * How the family calls the size.
     *
     * @return for example {@code "0.5B"}
     */
    public String label() {
        return label;
    }

    /**
     * Decoder layers.
     *
     * @return their number
     */
    public int layers() {
        return layers;
    }

    /**
     * Width of the residual stream.
     *
     * @return the number of values
     */
    public int hiddenSize() {
        return hiddenSize;
    }

    /**
     * Query heads; each has {@link #hiddenSize()} / {@code heads()} values.
     *
     * @return their number
     */
    public int heads() {
        return heads;
    }

    /**
     * Key and value heads, a divisor of {@link #heads()}.
     *
     * @return their number
     */
    public int kvHeads() {
        return kvHeads;
    }

    /**
     * Width of the feed-forward network of a layer without experts.
     *
     * @return the number of values
     */
    public int ffnSize() {
        return ffnSize;
    }

    /**
     * Rows of the embedding; the tokenizer defines the first 151,665 of them.
     *
     * @return their number
     */
    public int vocabularyRows() {
        return vocabularyRows;
    }

    /**
     * Whether the output layer is the embedding.
     *
     * @return false if it is a matrix of its own
     */
    public boolean tiedHead() {
        return tiedHead;
    }

    /**
     * Longest sequence that the Instruct models state.
     *
     * @return the number of tokens, 8192 or 32,768
     */
    public int contextLength() {
        return contextLength;
    }

    /**
     * Routed experts of each layer.
     *
     * @return their number; 0 for a dense model
     */
    public int experts() {
        return experts;
    }

    /**
     * Routed experts that a token uses.
     *
     * @return their number; 0 for a dense model
     */
    public int expertsUsed() {
        return expertsUsed;
    }

    /**
     * Width of the feed-forward network of a routed expert.
     *
     * @return the number of values; 0 for a dense model
     */
    public int expertFfnSize() {
        return expertFfnSize;
    }

    /**
     * Width of the feed-forward network of the shared expert, which every token uses.
     *
     * @return the number of values; 0 for a dense model
     */
    public int sharedExpertFfnSize() {
        return sharedExpertFfnSize;
    }
}
