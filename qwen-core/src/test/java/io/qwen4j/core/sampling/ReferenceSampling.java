package io.qwen4j.core.sampling;

import io.qwen4j.SamplingOptions;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The distribution that the options define, step by step with sorted lists: the definition that the sampler is compared with. */
final class ReferenceSampling {
    private ReferenceSampling() {}

    /** Probability of each id that can be drawn. */
    static Map<Integer, Double> distribution(SamplingOptions o, float[] row, int sampleable, int[] prompt, List<Integer> answer) {
        Map<Integer, Double> logits = new HashMap<>();
        for (int id = 0; id < sampleable; id++) {
            logits.put(id, (double) row[id]);
        }
        o.logitBias().forEach((id, bias) -> logits.computeIfPresent(id, (k, v) -> (double) (float) (v + bias)));
        Set<Integer> seen = new HashSet<>(answer);
        for (int id : prompt) {
            seen.add(id);
        }
        for (int id : seen) {
            logits.computeIfPresent(
                    id, (k, v) -> (double) (v > 0 ? (float) (double) v / o.repetitionPenalty() : (float) (double) v * o.repetitionPenalty()));
        }
        for (int id : new HashSet<>(answer)) {
            int count = (int) answer.stream().filter(a -> a == id).count();
            logits.computeIfPresent(
                    id, (k, v) -> (double) ((float) (double) v - o.presencePenalty() - o.frequencyPenalty() * count));
        }
        logits.values().removeIf(v -> v == Double.NEGATIVE_INFINITY);
        List<Integer> ids = new ArrayList<>(logits.keySet());
        ids.sort(Comparator.<Integer>comparingDouble(id -> -logits.get(id)).thenComparing(id -> id));
        if (o.temperature() == 0) {
            return Map.of(ids.get(0), 1.0);
        }
        if (o.topK() > 0) {
            ids = ids.subList(0, Math.min(o.topK(), ids.size()));
        }
        double max = logits.get(ids.get(0));
        Map<Integer, Double> weights = new HashMap<>();
        ids.forEach(id -> weights.put(id, Math.exp((logits.get(id) - max) / o.temperature())));
        if (o.topP() < 1) {
            ids = until(ids, weights, o.topP() * sum(weights, ids));
        }
        ids = ids.stream().filter(id -> weights.get(id) >= o.minP()).toList();
        if (o.typicalP() < 1) {
            double total = sum(weights, ids);
            Map<Integer, Double> surprise = new HashMap<>();
            ids.forEach(id -> surprise.put(id, Math.log(total) - (logits.get(id) - max) / o.temperature()));
            double entropy = ids.stream().mapToDouble(id -> weights.get(id) == 0 ? 0 : weights.get(id) / total * surprise.get(id)).sum();
            List<Integer> typical = new ArrayList<>(ids);
            typical.sort(Comparator.<Integer>comparingDouble(id -> (float) Math.abs(surprise.get(id) - entropy)).thenComparing(id -> id));
            ids = until(typical, weights, o.typicalP() * total);
        }
        double total = sum(weights, ids);
        Map<Integer, Double> distribution = new HashMap<>();
        for (int id : ids) {
            if (weights.get(id) > 0) {
                distribution.put(id, weights.get(id) / total);
            }
        }
        return distribution;
    }

    private static double sum(Map<Integer, Double> weights, Collection<Integer> ids) {
        return ids.stream().mapToDouble(weights::get).sum();
    }

    private static List<Integer> until(List<Integer> ids, Map<Integer, Double> weights, double wanted) {
        double sum = 0;
        int kept = 0;
        while (kept < ids.size() && (kept == 0 || sum < wanted)) {
            sum += weights.get(ids.get(kept++));
        }
        return ids.subList(0, kept);
    }
}
