package io.qwen4j.core.model;

import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.Walk;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The forward pass of Qwen2.5 over a ragged batch. Owns its activations, not the weights, the backend or the cache. Allocates nothing per
 * step.
 *
 * <p>Not thread-safe: the engine thread owns it.
 */
public final class QwenDecoder implements AutoCloseable {
    private final QwenConfig config;
    private final QwenWeights weights;
    private final Ops ops;
    private final KvCache cache;
    private final LayerAttention attention;
    private final AttentionShape shape;
    private final Rotary rotary;
    private final int maxTokens;
    private final int maxOutputs;
    private final Buffers buffers;
    private final Walk layers = new Walk() {
        @Override
        public void run() {
            computeLayers(current());
        }
    };
    private final Walk layersAndHead = new Walk() {
        @Override
        public void run() {
            computeLayers(current());
            applyHead(buffers.outputs, current().outputs());
        }
    };
    /** Of the step that is computed. */
    private @Nullable Batch current;
    /** Rows of logits that were computed with the hidden states returned last. */
    private int logitsRows;

    /** Makes a decoder whose tokens attend to all keys. */
    public QwenDecoder(QwenConfig config, QwenWeights weights, Ops ops, int maxTokens, int maxOutputs, KvCache cache) {
        this(config, weights, ops, maxTokens, maxOutputs, cache, LayerAttention.DENSE);
    }

    /**
     * Makes a decoder.
     *
     * @param maxTokens most tokens of a batch
     * @param maxOutputs most rows of logits at a time; one takes 4 V bytes (608 KB for V = 151,936)
     * @param cache a cache of {@code config.layers()} layers, {@code kvHeads()} heads of {@code headSize()}
     * @param attention how its tokens attend
     */
    public QwenDecoder(
            QwenConfig config,
            QwenWeights weights,
            Ops ops,
            int maxTokens,
            int maxOutputs,
            KvCache cache,
            LayerAttention attention) {
        this.config = config;
        this.weights = weights;
        this.ops = ops;
        this.cache = cache;
        this.attention = attention;
        this.maxTokens = maxTokens;
        this.maxOutputs = maxOutputs;
        QwenConfig.DualChunk chunks = config.rope().dualChunk();
        float scale = (float) (1 / Math.sqrt(config.headSize()));
        shape = new AttentionShape(
                config.heads(), config.kvHeads(), config.headSize(), scale, chunks == null ? 0 : chunks.chunkLength(),
                cache.layout().keysCentred());
        rotary = new Rotary(config.rope(), config.headSize(), shape.keysCentred() ? cache.layout().pageTokens() : 0);
        buffers = new Buffers(config, ops, maxTokens, maxOutputs, shape.keysCentred());
    }

    /**
     * Computes a step: writes its keys and values to the cache and returns the logits (R, V) of its output rows, or the outputs of a reward
     * head (R, {@link QwenConfig#outputs()}).
     */
    public Activation forward(Batch batch) {
        if (batch.outputs() > maxOutputs) {
            throw new IllegalArgumentException(batch.outputs() + " rows of logits are asked for at a time, at most " + maxOutputs);
        }
        Activation hidden = hidden(batch);
        if (batch.outputs() > logitsRows) {
            applyHead(hidden, batch.outputs());
        }
        return buffers.logits;
    }

    private void applyHead(Activation hidden, int rows) {
        QwenWeights.Head head = weights.head();
        Activation in = hidden;
        if (head.hidden() != null) {
            in = buffers.headHidden;
            ops.linear(hidden, rows, head.hidden().weight(), head.hidden().bias(), in);
            ops.relu(in, rows);
        }
        ops.linear(in, rows, head.output(), head.bias(), buffers.logits);
    }

    /** As {@link #forward}, but returns the hidden states (R, D) after the final norm; R may be all of the tokens. */
    public Activation hidden(Batch batch) {
        if (batch.tokens() < 1 || batch.tokens() > maxTokens) {
            throw new IllegalArgumentException("a batch of " + batch.tokens() + " tokens, expected 1 to " + maxTokens);
        }
        attention.begin(batch, shape);
        rotary.fill(batch, buffers.rotations);
        // A step of single tokens and drafts wants the logits of all of them; they come with it, so that it is one walk.
        boolean head = batch.outputs() == batch.tokens() && batch.outputs() <= maxOutputs;
        Walk walk = head ? layersAndHead : layers;
        logitsRows = 0;
        current = batch;
        try {
            // Where there are experts, what is computed depends on what was computed before.
            if (config.experts() == null && attention.repeats()) {
                ops.repeat(walk, batch, shape, cache);
            } else {
                walk.run();
            }
        } finally {
            current = null;
        }
        logitsRows = head ? batch.outputs() : 0;
        return buffers.outputs;
    }

    private Batch current() {
        return Objects.requireNonNull(current);
    }

    private void computeLayers(Batch batch) {
        int t = batch.tokens();
        Activation x = buffers.x;
        Activation h = buffers.normed;
        float epsilon = config.normEpsilon();
        ops.embed(weights.embedding(), batch, x);
        for (int i = 0; i < config.layers(); i++) {
            QwenWeights.Layer w = weights.layer(i);
            ops.rmsNorm(x, t, w.attentionNorm(), epsilon, h);
            ops.linear(h, t, w.qkv(), w.qkvBias(), buffers.qkv);
            ops.rotateAndStore(buffers.qkv, w.qkvBias(), buffers.rotations, batch, shape, cache, i);
            attention.attend(ops, buffers.qkv, buffers.rotations, batch, shape, cache, i, buffers.attended);
            ops.linearAdd(buffers.attended, t, w.output(), x);
            ops.rmsNorm(x, t, w.mlpNorm(), epsilon, h);
            if (w.experts() == null) {
                buffers.dense.compute(h, t, w.gateUp(), null, w.down(), x);
            } else {
                buffers.experts.compute(h, t, w, w.experts(), x);
            }
        }
        if (batch.outputs() > 0) {
            ops.gatherOutputs(x, batch, buffers.outputs);
            ops.rmsNorm(buffers.outputs, batch.outputs(), weights.finalNorm(), epsilon, buffers.outputs);
        }
    }

    /**
     * The logits (or rewards) of some of the hidden states that {@link #hidden} returned last: for scoring, where more rows are wanted than
     * there is memory for.
     *
     * @param first first output row
     * @param count rows, at most {@code maxOutputs}
     * @return as {@link #forward}; row 0 is that of {@code first}
     */
    public Activation logits(int first, int count) {
        if (first < 0 || count < 1 || count > maxOutputs || first > maxTokens - count) {
            throw new IllegalArgumentException(
                    "logits of rows " + first + " to " + (first + count) + ", at most " + maxOutputs + " of " + maxTokens);
        }
        if (first == 0 && count <= logitsRows) {
            return buffers.logits;
        }
        logitsRows = 0;
        applyHead(first == 0 ? buffers.outputs : window(first, count), count);
        return buffers.logits;
    }

    /** Output rows from some row on; a copy over the host, which the first rows, all of most steps, do without. */
    private Activation window(int first, int count) {
        int d = config.hiddenSize();
        buffers.window.buffer().put(0, buffers.outputs.buffer(), first * d, count * d);
        return buffers.window;
    }

    /** Most rows of logits at a time. */
    public int maxOutputs() {
        return maxOutputs;
    }

    /** Frees the activations. Idempotent. */
    @Override
    public void close() {
        buffers.close();
    }

    /** Bytes of the activations of a decoder over a cache of a layout. */
    public static long activationBytes(QwenConfig config, int maxTokens, int maxOutputs, KvLayout cache) {
        return Buffers.bytes(config, maxTokens, maxOutputs, cache.keysCentred());
    }
}
