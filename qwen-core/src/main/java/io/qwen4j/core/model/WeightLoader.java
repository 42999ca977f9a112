package io.qwen4j.core.model;

import static io.qwen4j.core.model.QwenTensors.layer;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ProgressListener;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.ops.Weight;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Takes a checkpoint's tensors into a backend: what is used together is stacked into one matrix. */
final class WeightLoader {
    private final QwenConfig config;
    private final Ops ops;
    private final Map<String, List<TensorSource>> sources = new LinkedHashMap<>();
    private final Map<String, List<TensorSource>> matrices = new LinkedHashMap<>();
    private final List<Weight> taken = new ArrayList<>();

    /** Finds all tensors and checks their shapes; reads nothing. */
    WeightLoader(Checkpoint checkpoint, Ops ops, @Nullable WeightType quantization) {
        config = checkpoint.config();
        this.ops = ops;
        ConversionBuffers buffers = new ConversionBuffers();
        for (QwenTensors.Expected expected : QwenTensors.of(config)) {
            List<TensorSource> parts = find(checkpoint, expected);
            sources.put(expected.name(), parts);
            if (expected.matrix()) {
                if (quantization != null && QuantizationPlan.converts(expected)) {
                    WeightType type = QuantizationPlan.typeOf(config, expected, quantization);
                    parts = parts.stream().map(part -> QuantizedSource.of(part, type, buffers)).toList();
                }
                matrices.put(expected.name(), parts);
            }
        }
    }

    /** A tensor of the table, or the matrices of a stack, or why there is none. */
    static List<TensorSource> find(Checkpoint checkpoint, QwenTensors.Expected expected) {
        List<TensorSource> found = checkpoint.matrices(expected);
        for (TensorSource source : found) {
            if (source.rows() != expected.rows() || source.columns() != expected.columns()) {
                throw new ModelFileException(Reason.SHAPE, checkpoint.path(), "tensor " + source.name() + " has shape " + source.rows()
                        + " x " + source.columns() + ", expected " + expected.rows() + " x " + expected.columns());
            }
            if (!expected.matrix() && source.type().isQuantized()) {
                throw new ModelFileException(Reason.UNSUPPORTED, checkpoint.path(),
                        "vector " + source.name() + " has type " + source.type() + ", expected F32, F16 or BF16");
            }
        }
        return found;
    }

    long bytesNeeded() {
        long bytes = 0;
        for (Map.Entry<String, List<TensorSource>> entry : sources.entrySet()) {
            List<TensorSource> matrix = matrices.get(entry.getKey());
            for (TensorSource part : matrix != null ? matrix : entry.getValue()) {
                bytes = Math.addExact(bytes, matrix != null ? ops.matrixBytes(part) : 4 * part.columns());
            }
        }
        return bytes;
    }

    QwenWeights load(boolean checkValues, ProgressListener listener) {
        long total = bytes(matrices);
        try {
            if (checkValues) {
                checkValues(listener);
            }
            ProgressMeter progress = new ProgressMeter(listener, "load", total);
            Iterator<? extends Weight> next = matrices(progress).iterator();
            Weight embedding = next.next();
            List<QwenWeights.Layer> layers = new ArrayList<>();
            for (int i = 0; i < config.layers(); i++) {
                Weight qkv = next.next();
                Weight output = next.next();
                Weight gateUp = next.next();
                Weight down = next.next();
                QwenWeights.Experts experts =
                        config.sparse(i) ? new QwenWeights.Experts(next.next(), next.next(), next.next(), next.next()) : null;
                layers.add(new QwenWeights.Layer(
                        vector(layer(i, QwenTensors.ATTENTION_NORM)),
                        qkv,
                        vector(layer(i, QwenTensors.QUERY_BIAS), layer(i, QwenTensors.KEY_BIAS), layer(i, QwenTensors.VALUE_BIAS)),
                        output,
                        vector(layer(i, QwenTensors.MLP_NORM)),
                        gateUp,
                        down,
                        experts));
            }
            Weight finalNorm = vector(QwenTensors.FINAL_NORM);
            QwenWeights.Head head = head(embedding, next);
            progress.end();
            return new QwenWeights(embedding, layers, finalNorm, head, taken);
        } catch (Throwable e) {
            taken.forEach(Weight::close);
            throw e;
        }
    }

    private QwenWeights.Head head(Weight embedding, Iterator<? extends Weight> next) {
        if (config.head() == QwenConfig.Head.LANGUAGE) {
            return new QwenWeights.Head(null, config.tiedHead() ? embedding : next.next(), null);
        }
        var hidden = new QwenWeights.HiddenLayer(next.next(), vector(QwenTensors.REWARD_HIDDEN_BIAS));
        return new QwenWeights.Head(hidden, next.next(), vector(QwenTensors.REWARD_OUTPUT_BIAS));
    }

    private void checkValues(ProgressListener listener) {
        ProgressMeter meter = new ProgressMeter(listener, "check", bytes(sources));
        ValueCheck check = new ValueCheck();
        for (List<TensorSource> parts : sources.values()) {
            parts.forEach(source -> check.check(source, meter));
        }
        meter.end();
    }

    /** All matrices at once, so that the backend can read them side by side: embedding, those of each layer, head. */
    private List<? extends Weight> matrices(ProgressMeter progress) {
        List<List<TensorSource>> all = new ArrayList<>();
        all.add(parts(QwenTensors.EMBEDDING));
        for (int i = 0; i < config.layers(); i++) {
            all.add(parts(layer(i, QwenTensors.QUERY), layer(i, QwenTensors.KEY), layer(i, QwenTensors.VALUE)));
            all.add(parts(layer(i, QwenTensors.OUTPUT)));
            if (config.sparse(i)) {
                all.add(parts(layer(i, QwenTensors.SHARED_GATE), layer(i, QwenTensors.SHARED_UP)));
                all.add(parts(layer(i, QwenTensors.SHARED_DOWN)));
                all.add(parts(layer(i, QwenTensors.ROUTER)));
                all.add(parts(layer(i, QwenTensors.SHARED_WEIGHT)));
                all.add(parts(layer(i, QwenTensors.EXPERT_GATES), layer(i, QwenTensors.EXPERT_UPS)));
                all.add(parts(layer(i, QwenTensors.EXPERT_DOWNS)));
            } else {
                all.add(parts(layer(i, QwenTensors.GATE), layer(i, QwenTensors.UP)));
                all.add(parts(layer(i, QwenTensors.DOWN)));
            }
        }
        if (config.head() != QwenConfig.Head.LANGUAGE) {
            all.add(parts(QwenTensors.REWARD_HIDDEN));
            all.add(parts(QwenTensors.REWARD_OUTPUT));
        } else if (!config.tiedHead()) {
            all.add(parts(QwenTensors.HEAD));
        }
        List<? extends Weight> weights = ops.matrices(all, progress::add);
        taken.addAll(weights);
        return weights;
    }

    /** The parts of a matrix: the first of each name, and so on; a tensor that is no stack has one. */
    private List<TensorSource> parts(String... names) {
        List<TensorSource> parts = new ArrayList<>();
        for (int i = 0; i < matrices.get(names[0]).size(); i++) {
            for (String name : names) {
                parts.add(matrices.get(name).get(i));
            }
        }
        return parts;
    }

    private static long bytes(Map<String, List<TensorSource>> tensors) {
        return tensors.values().stream().flatMap(List::stream).mapToLong(TensorSource::byteSize).reduce(0, Math::addExact);
    }

    private Weight vector(String... names) {
        List<TensorSource> parts = new ArrayList<>();
        for (String name : names) {
            parts.addAll(sources.get(name));
        }
        Weight weight = ops.vector(parts);
        taken.add(weight);
        return weight;
    }
}
