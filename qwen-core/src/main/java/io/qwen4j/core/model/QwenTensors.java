package io.qwen4j.core.model;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

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
    /** Gate projection of a dense layer, (F, D). */
    public static final String GATE = "mlp.gate_proj.weight";
    /** Up projection of a dense layer, (F, D). */
    public static final String UP = "mlp.up_proj.weight";
    /** Down projection of a dense layer, (D, F). */
    public static final String DOWN = "mlp.down_proj.weight";
    /** Router of a layer with experts, (experts, D). */
    public static final String ROUTER = "mlp.gate.weight";
    /** Gate projections of all routed experts, (experts, F, D). */
    public static final String EXPERT_GATES = "mlp.experts.gate_proj.weight";
    /** Up projections of all routed experts, (experts, F, D). */
    public static final String EXPERT_UPS = "mlp.experts.up_proj.weight";
    /** Down projections of all routed experts, (experts, D, F). */
    public static final String EXPERT_DOWNS = "mlp.experts.down_proj.weight";
    /** What the shared expert is multiplied with, before the sigmoid, (1, D). */
    public static final String SHARED_WEIGHT = "mlp.shared_expert_gate.weight";
    /** Gate projection of the shared expert, (F, D). */
    public static final String SHARED_GATE = "mlp.shared_expert.gate_proj.weight";
    /** Up projection of the shared expert, (F, D). */
    public static final String SHARED_UP = "mlp.shared_expert.up_proj.weight";
    /** Down projection of the shared expert, (D, F). */
    public static final String SHARED_DOWN = "mlp.shared_expert.down_proj.weight";

    /** First layer of a reward head, (D, D). */
    public static final String REWARD_HIDDEN = "score.0.weight";
    /** Bias of the first layer of a reward head, (D). */
    public static final String REWARD_HIDDEN_BIAS = "score.0.bias";
    /** Second layer of a reward head, (outputs, D). */
    public static final String REWARD_OUTPUT = "score.2.weight";
    /** Bias of the second layer of a reward head, (outputs). */
    public static final String REWARD_OUTPUT_BIAS = "score.2.bias";

    private static final String EXPERTS = ".experts.";

    private QwenTensors() {}

    /** Kinds of tensors. */
    public enum Kind {
        /** One dimension. */
        VECTOR,
        /** One row of a product; two dimensions, or one. */
        ROW,
        /** Two dimensions. */
        MATRIX,
        /** Matrices of the same shape, one for each expert; three dimensions, or many matrices. */
        STACK
    }

    /**
     * A row of the table.
     *
     * @param name the tensor's name
     * @param kind its kind
     * @param count matrices in a stack, else 1
     * @param rows rows of a matrix; 1 for a vector
     * @param columns columns
     */
    public record Expected(String name, Kind kind, int count, long rows, long columns) {
        /** Whether it is multiplied with activations, not added to them. */
        public boolean matrix() {
            return kind != Kind.VECTOR;
        }

        /** The shape, slowest dimension first. */
        public long[] shape() {
            return switch (kind) {
                case VECTOR -> new long[] {columns};
                case ROW, MATRIX -> new long[] {rows, columns};
                case STACK -> new long[] {count, rows, columns};
            };
        }

        /** A matrix of a stack. */
        public Expected part(int index) {
            int at = name.indexOf(EXPERTS) + EXPERTS.length();
            return new Expected(name.substring(0, at) + index + "." + name.substring(at), Kind.MATRIX, 1, rows, columns);
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
            if (c.sparse(i)) {
                addExperts(c.experts(), i, d, table);
            } else {
                table.add(matrix(layer(i, GATE), c.ffnSize(), d));
                table.add(matrix(layer(i, UP), c.ffnSize(), d));
                table.add(matrix(layer(i, DOWN), d, c.ffnSize()));
            }
        }
        table.add(vector(FINAL_NORM, d));
        if (c.head() != QwenConfig.Head.LANGUAGE) {
            table.add(matrix(REWARD_HIDDEN, d, d));
            table.add(vector(REWARD_HIDDEN_BIAS, d));
            table.add(matrix(REWARD_OUTPUT, c.outputs(), d));
            table.add(vector(REWARD_OUTPUT_BIAS, c.outputs()));
        } else if (!c.tiedHead()) {
            table.add(matrix(HEAD, c.vocabularyRows(), d));
        }
        return table;
    }

    private static void addExperts(QwenConfig.Experts experts, int i, long d, List<Expected> table) {
        long f = experts.ffnSize();
        long shared = experts.sharedFfnSize();
        table.add(matrix(layer(i, ROUTER), experts.count(), d));
        table.add(new Expected(layer(i, EXPERT_GATES), Kind.STACK, experts.count(), f, d));
        table.add(new Expected(layer(i, EXPERT_UPS), Kind.STACK, experts.count(), f, d));
        table.add(new Expected(layer(i, EXPERT_DOWNS), Kind.STACK, experts.count(), d, f));
        table.add(new Expected(layer(i, SHARED_WEIGHT), Kind.ROW, 1, 1, d));
        table.add(matrix(layer(i, SHARED_GATE), shared, d));
        table.add(matrix(layer(i, SHARED_UP), shared, d));
        table.add(matrix(layer(i, SHARED_DOWN), d, shared));
    }

    /** The tensors where each expert has its own. */
    public static List<Expected> separate(QwenConfig c) {
        return of(c).stream()
                .flatMap(e -> e.kind() == Kind.STACK ? IntStream.range(0, e.count()).mapToObj(e::part) : Stream.of(e))
                .toList();
    }

    private static Expected matrix(String name, long rows, long columns) {
        return new Expected(name, Kind.MATRIX, 1, rows, columns);
    }

    private static Expected vector(String name, long columns) {
        return new Expected(name, Kind.VECTOR, 1, 1, columns);
    }
}
