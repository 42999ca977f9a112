package io.qwen4j;

/**
 * The shapes of the dense Qwen2.5 models. Common to all: RMSNorm with an epsilon of 1e-6, RoPE with a base of 1,000,000, biases on
 * queries, keys and values, and a context of {@link #contextLength()} tokens. Source: table 1 of the Qwen2.5 technical report
 * (arXiv 2412.15115) and the configurations of the Instruct models.
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
    QWEN25_72B("72B", 80, 8192, 64, 8, 29568, 152064, false);

    private final String label;
    private final int layers;
    private final int hiddenSize;
    private final int heads;
    private final int kvHeads;
    private final int ffnSize;
    private final int vocabularyRows;
    private final boolean tiedHead;

    ModelShape(
            String label, int layers, int hiddenSize, int heads, int kvHeads, int ffnSize, int vocabularyRows, boolean tiedHead) {
        this.label = label;
        this.layers = layers;
        this.hiddenSize = hiddenSize;
        this.heads = heads;
        this.kvHeads = kvHeads;
        this.ffnSize = ffnSize;
        this.vocabularyRows = vocabularyRows;
        this.tiedHead = tiedHead;
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
     * Width of the feed-forward network.
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
     * @return 32,768 tokens
     */
    public int contextLength() {
        return 32_768;
    }
}
