package io.qwen4j.tool;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Measurements of one thing. */
final class Samples {
    private final List<Double> values = new ArrayList<>();

    void add(double value) {
        if (Double.isFinite(value)) {
            values.add(value);
        }
    }

    boolean isEmpty() {
        return values.isEmpty();
    }

    double median() {
        List<Double> sorted = values.stream().sorted().toList();
        int half = sorted.size() / 2;
        return sorted.size() % 2 == 1 ? sorted.get(half) : (sorted.get(half - 1) + sorted.get(half)) / 2;
    }

    double min() {
        return values.stream().mapToDouble(Double::doubleValue).min().orElseThrow();
    }

    double max() {
        return values.stream().mapToDouble(Double::doubleValue).max().orElseThrow();
    }

    String text() {
        return isEmpty() ? "-" : String.format(Locale.ROOT, "%.2f (%.2f to %.2f)", median(), min(), max());
    }
}
