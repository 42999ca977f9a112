package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.format.FormatError;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Experts as transformers 5 keeps them in memory, and in files that it writes with {@code save_original_format=False}: for each layer
 * {@code gate_up_proj} (experts, 2F, D), the rows of gate before those of up, and {@code down_proj} (experts, D, F). Each matrix of an expert
 * is a range of the file.
 */
final class FusedExperts {
    private static final String GATE_UP = "mlp.experts.gate_up_proj";
    private static final String DOWN = "mlp.experts.down_proj";

    private final Path path;
    private final QwenConfig config;
    private final QwenConfig.Experts experts;
    private final Map<String, SafetensorsShards.Place> places;

    private FusedExperts(Path path, QwenConfig config, QwenConfig.Experts experts, Map<String, SafetensorsShards.Place> places) {
        this.path = path;
        this.config = config;
        this.experts = experts;
        this.places = places;
    }

    /** The tensors by name, fused ones as what they consist of. */
    static Map<String, SafetensorsShards.Place> split(Path path, QwenConfig config, Map<String, SafetensorsShards.Place> places) {
        QwenConfig.Experts experts = config.experts();
        if (experts == null) {
            return Collections.unmodifiableMap(places);
        }
        var split = new FusedExperts(path, config, experts, new LinkedHashMap<>(places));
        for (int i = 0; i < config.layers(); i++) {
            split.split(i, GATE_UP, 2 * experts.ffnSize(), config.hiddenSize(), List.of(QwenTensors.EXPERT_GATES, QwenTensors.EXPERT_UPS));
            split.split(i, DOWN, config.hiddenSize(), experts.ffnSize(), List.of(QwenTensors.EXPERT_DOWNS));
        }
        return Collections.unmodifiableMap(split.places);
    }

    private void split(int layer, String part, long rows, long columns, List<String> names) {
        String name = QwenTensors.layer(layer, part);
        SafetensorsShards.Place place = config.sparse(layer) ? places.remove(name) : null;
        if (place == null) {
            return;
        }
        SafetensorsEntry entry = place.entry();
        List<Long> expected = List.of((long) experts.count(), rows, columns);
        if (!entry.shape().equals(expected)) {
            throw FormatError.of(
                    Reason.SHAPE, path, "the tensor " + name + " has shape " + entry.shape() + ", the configuration requires " + expected);
        }
        long each = rows / names.size();
        long bytes = entry.bytes() / (experts.count() * (long) names.size());
        for (int e = 0; e < experts.count(); e++) {
            for (int n = 0; n < names.size(); n++) {
                String matrix = QwenTensors.layer(layer, QwenTensors.ofExpert(names.get(n), e));
                long begin = entry.begin() + (e * (long) names.size() + n) * bytes;
                var slice = new SafetensorsEntry(
                        matrix, entry.dtype(), List.of(each, columns), bytes, begin, begin + bytes, entry.weightType());
                if (places.putIfAbsent(matrix, new SafetensorsShards.Place(place.file(), slice)) != null) {
                    throw FormatError.of(Reason.DUPLICATE, path, "the matrix " + matrix + " is also in the tensor " + name);
                }
            }
        }
    }
}
