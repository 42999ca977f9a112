package io.qwen4j.core.ops;

/** The operations of a mixture of experts: routing, and products of each expert with its tokens. */
final class JavaExperts {
    private final JavaLinear linear;
    private double[] weights = new double[0];
    private int[] chosen = new int[0];
    private int[] next = new int[0];
    private float[] in = new float[0];
    private float[] out = new float[0];

    JavaExperts(JavaLinear linear) {
        this.linear = linear;
    }

    void route(float[] scores, int tokens, Routing routing) {
        int experts = routing.experts();
        int used = routing.used();
        if (weights.length < tokens * used) {
            weights = new double[tokens * used];
            chosen = new int[tokens * used];
        }
        if (next.length < experts + 1) {
            next = new int[experts + 1];
        }
        java.util.Arrays.fill(next, 0, experts + 1, 0);
        for (int t = 0; t < tokens; t++) {
            choose(scores, t, routing);
            for (int k = 0; k < used; k++) {
                next[chosen[t * used + k] + 1]++;
            }
        }
        routing.begin(tokens);
        for (int e = 0; e <= experts; e++) {
            next[e] += e == 0 ? 0 : next[e - 1];
            routing.setFirst(e, next[e]);
        }
        for (int i = 0; i < tokens * used; i++) {
            routing.set(next[chosen[i]]++, i / used, (float) weights[i]);
        }
    }

    /** The experts of a token, and their weights. */
    private void choose(float[] scores, int t, Routing routing) {
        int experts = routing.experts();
        int used = routing.used();
        int from = t * experts;
        int at = t * used;
        double largest = Double.NEGATIVE_INFINITY;
        for (int e = 0; e < experts; e++) {
            largest = Math.max(largest, scores[from + e]);
        }
        double all = 0;
        for (int e = 0; e < experts; e++) {
            all += Math.exp(scores[from + e] - largest);
        }
        double sum = 0;
        for (int k = 0; k < used; k++) {
            int best = -1;
            for (int e = 0; e < experts; e++) {
                // Written so that an expert is found among numbers that are none.
                if (!contains(at, k, e) && (best < 0 || scores[from + e] > scores[from + best])) {
                    best = e;
                }
            }
            chosen[at + k] = best;
            weights[at + k] = Math.exp(scores[from + best] - largest) / all;
            sum += weights[at + k];
        }
        for (int k = 0; k < used && routing.normalized(); k++) {
            weights[at + k] /= sum;
        }
    }

    private boolean contains(int at, int count, int expert) {
        for (int k = 0; k < count; k++) {
            if (chosen[at + k] == expert) {
                return true;
            }
        }
        return false;
    }

    /** {@code y[p] = x[token(p)] · w[expert(p)]ᵀ}. */
    void up(float[] x, Routing routing, JavaMatrix w, float[] y) {
        int n = w.columns();
        int m = w.rows() / routing.experts();
        for (int e = 0; e < routing.experts(); e++) {
            int first = routing.first(e);
            int count = routing.first(e + 1) - first;
            if (count == 0) {
                continue;
            }
            grow(count * n, count * m);
            for (int i = 0; i < count; i++) {
                System.arraycopy(x, routing.token(first + i) * n, in, i * n, n);
            }
            linear.compute(in, count, w, e * m, m, null, false, out);
            System.arraycopy(out, 0, y, first * m, count * m);
        }
    }

    /** {@code y[token(p)] += weight(p) · x[p] · w[expert(p)]ᵀ}, expert by expert. */
    void down(float[] x, Routing routing, JavaMatrix w, float[] y) {
        int n = w.columns();
        int m = w.rows() / routing.experts();
        for (int e = 0; e < routing.experts(); e++) {
            int first = routing.first(e);
            int count = routing.first(e + 1) - first;
            if (count == 0) {
                continue;
            }
            grow(count * n, count * m);
            System.arraycopy(x, first * n, in, 0, count * n);
            linear.compute(in, count, w, e * m, m, null, false, out);
            for (int i = 0; i < count; i++) {
                float weight = routing.weight(first + i);
                int to = routing.token(first + i) * m;
                for (int r = 0; r < m; r++) {
                    y[to + r] += weight * out[i * m + r];
                }
            }
        }
    }

    private void grow(int inputs, int outputs) {
        if (in.length < inputs) {
            in = new float[inputs];
        }
        if (out.length < outputs) {
            out = new float[outputs];
        }
    }
}
