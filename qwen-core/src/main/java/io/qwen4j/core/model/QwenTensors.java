package io.qwen4j.core.model;

import java.util.ArrayList;
import java.util.List;

/** The table of a decoder's tensors: names as in Hugging Face checkpoints, and shapes. The one place that has the names. */
public final class QwenTensors {
    /** Embedding, (V, D). */
    public static final String EMBEDDING = "model.embed_tokens.weight";
    /** Norm before the head, (D). */
    public static final String FINAL_NORM = "model.norm.weight";
    /** Head, (V, D); absent where it is the embedding. */
    public static final String HEAD = "lm_head.weight";

    /** Norm before attention, (D). Names of layers' tensors are made with {@link #layer(int, String)}. */
    public static final String ATTENTION_NORM = "input_layernorm.weight";
    /** Query projection, (H*E, D). */
    public static final String QUERY = "self_attn.q_proj.weight";
    /** Bias of the query projection, (H*E). */
    public static final String QUERY_BIAS = "self_attn.q_proj.bias";
    /** Key projection, (K*E, D). */
    public static final String KEY = "self_attn.k_proj.weight";
    /** Bias of the key projection, (K*E). */
    public static final String KEY_BIAS = "self_attn.k_proj.bias";
    /** Value projection, (K*E, D). */
    public static final String VALUE = "self_attn.v_proj.weight";
    /** Bias of the value projection, (K*E). */
    public static final String VALUE_BIAS = "self_attn.v_proj.bias";
    /** Output projection of attention, (D, H*E). */
    public static final String OUTPUT = "self_attn.o_proj.weight";
    /** Norm before the MLP, (D). */
    public static final String MLP_NORM = "post_attention_layernorm.weight";
    /** Gate projection, (F, D). */
    public static final String GATE = "mlp.gate_proj.weight";
    /** Up projection, (F, D). */
    public static final String UP = "mlp.up_proj.weight";
    /** Down projection, (D, F). */
    public static final String DOWN = "mlp.down_proj.weight";

    private QwenTensors() {}

    /**
     * A row of the table.
     *
     * @param name the tensor's name
     * @param rows rows; 1 for a vector
     * @param columns columns
     * @param matrix whether it has two dimensions; a vector has one
     */
    public record Expected(String name, long rows, long columns, boolean matrix) {
        /** The shape, slowest dimension first. */
        public long[] shape() {
            return matrix ? new long[] {rows, columns} : new long[] {columns};
        }
    }

    /** Name of a layer's tensor. */
    public static String layer(int layer, String part) {
        return "model.layers." + layer + "." + part;
    }

    /** All tensors that a decoder must have, in the order of computing. */
    public static List<Expected> of(QwenConfig c) {
        long d = c.hiddenSize();
        long q = (long) c.heads() * c.headSize();
        long kv = (long) c.kvHeads() * c.headSize();
        long f = c.ffnSize();
        List<Expected> table = new ArrayList<>();
        table.add(matrix(EMBEDDING, c.vocabularyRows(), d));
        for (int i = 0; i < c.layers(); i++) {
            table.add(vector(layer(i, ATTENTION_NORM), d));
            table.add(matrix(layer(i, QUERY), q, d));
            table.add(vector(layer(i, QUERY_BIAS), q));
            table.add(matrix(layer(i, KEY), kv, d));
            table.add(vector(layer(i, KEY_BIAS), kv));
            table.add(matrix(layer(i, VALUE), kv, d));
            table.add(vector(layer(i, VALUE_BIAS), kv));
            table.add(matrix(layer(i, OUTPUT), d, q));
            table.add(vector(layer(i, MLP_NORM), d));
            table.add(matrix(layer(i, GATE), f, d));
            table.add(matrix(layer(i, UP), f, d));
            table.add(matrix(layer(i, DOWN), d, f));
        }
        table.add(vector(FINAL_NORM, d));
        if (!c.tiedHead()) {
            table.add(matrix(HEAD, c.vocabularyRows(), d));
        }
        return table;
    }

    private static Expected matrix(String name, long rows, long columns) {
        return new Expected(name, rows, columns, true);
    }

    private static Expected vector(String name, long columns) {
        return new Expected(name, 1, columns, false);
    }
}
