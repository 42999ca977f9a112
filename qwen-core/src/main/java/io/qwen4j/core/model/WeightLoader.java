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
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Takes a checkpoint's tensors into a backend: what is used together is stacked into one matrix. */
final class WeightLoader {
    private final QwenConfig config;
    private final Ops ops;
    private final Map<String, TensorSource> sources = new LinkedHashMap<>();
    private final Map<String, TensorSource> matrices = new LinkedHashMap<>();
    private final List<Weight> taken = new ArrayList<>();

    /** Finds all tensors and checks their shapes; reads nothing. */
    WeightLoader(Checkpoint checkpoint, Ops ops, @Nullable WeightType quantization) {
        config = checkpoint.config();
        this.ops = ops;
        ConversionBuffers buffers = new ConversionBuffers();
        for (QwenTensors.Expected expected : QwenTensors.of(config)) {
            TensorSource source = find(checkpoint, expected);
            sources.put(expected.name(), source);
            if (expected.matrix()) {
                TensorSource converted = source;
                if (quantization != null) {
                    converted = QuantizedSource.of(source, QuantizationPlan.typeOf(config, source, quantization), buffers);
                }
                matrices.put(expected.name(), converted);
            }
        }
    }

    /** A tensor of the table, or why there is none. */
    static TensorSource find(Checkpoint checkpoint, QwenTensors.Expected expected) {
        TensorSource source = checkpoint.tensor(expected.name())
                .orElseThrow(() -> new ModelFileException(Reason.MISSING, checkpoint.path(), "tensor " + expected.name() + " is missing"));
        if (source.rows() != expected.rows() || source.columns() != expected.columns()) {
            throw new ModelFileException(Reason.SHAPE, checkpoint.path(), "tensor " + expected.name() + " has shape "
                    + Arrays.toString(checkpoint.shape(expected.name())) + ", expected " + Arrays.toString(expected.shape()));
        }
        if (!expected.matrix() && source.type().isQuantized()) {
            throw new ModelFileException(Reason.UNSUPPORTED, checkpoint.path(),
                    "vector " + expected.name() + " has type " + source.type() + ", expected F32, F16 or BF16");
        }
        return source;
    }

    long bytesNeeded() {
        long bytes = 0;
        for (Map.Entry<String, TensorSource> entry : sources.entrySet()) {
            TensorSource matrix = matrices.get(entry.getKey());
            bytes = Math.addExact(bytes, matrix != null ? ops.matrixBytes(matrix) : 4 * entry.getValue().columns());
        }
        return bytes;
    }

    QwenWeights load(boolean checkValues, ProgressListener listener) {
        long total = matrices.values().stream().mapToLong(TensorSource::byteSize).sum();
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
                layers.add(new QwenWeights.Layer(
                        vector(layer(i, QwenTensors.ATTENTION_NORM)),
                        qkv,
                        vector(layer(i, QwenTensors.QUERY_BIAS), layer(i, QwenTensors.KEY_BIAS), layer(i, QwenTensors.VALUE_BIAS)),
                        output,
                        vector(layer(i, QwenTensors.MLP_NORM)),
                        gateUp,
                        down));
            }
            Weight finalNorm = vector(QwenTensors.FINAL_NORM);
            Weight head = config.tiedHead() ? embedding : next.next();
            progress.end();
            return new QwenWeights(embedding, layers, finalNorm, head, taken);
        } catch (Throwable e) {
            taken.forEach(Weight::close);
            throw e;
        }
    }

    private void checkValues(ProgressListener listener) {
        ProgressMeter meter = new ProgressMeter(listener, "check", sources.values().stream().mapToLong(TensorSource::byteSize).sum());
        ValueCheck check = new ValueCheck();
        for (TensorSource source : sources.values()) {
            check.check(source, meter);
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
            all.add(parts(layer(i, QwenTensors.GATE), layer(i, QwenTensors.UP)));
            all.add(parts(layer(i, QwenTensors.DOWN)));
        }
        if (!config.tiedHead()) {
            all.add(parts(QwenTensors.HEAD));
        }
        List<? extends Weight> weights = ops.matrices(all, progress::add);
        taken.addAll(weights);
        return weights;
    }

    private List<TensorSource> parts(String... names) {
        return Arrays.stream(names).map(matrices::get).toList();
    }

    private Weight vector(String... names) {
        List<TensorSource> parts = new ArrayList<>();
        for (String name : names) {
            parts.add(sources.get(name));
        }
        Weight weight = ops.vector(parts);
        taken.add(weight);
        return weight;
    }
}
