package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.FileTensor;
import io.qwen4j.core.format.FormatError;
import io.qwen4j.core.format.GenerationDefaults;
import io.qwen4j.core.format.Json;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.format.ModelDirectory;
import io.qwen4j.core.format.TensorChecks;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** A Hugging Face directory. */
public final class SafetensorsCheckpoint implements Checkpoint {
    private final Path path;
    private final QwenConfig config;
    private final GenerationDefaults defaults;
    private final Map<String, String> metadata;
    private final SafetensorsShards shards;
    private final Map<String, SafetensorsShards.Place> places;
    private final @Nullable HfQuantization quantization;
    private final Map<String, PackedTensor> packed;
    private final Set<String> names;

    private SafetensorsCheckpoint(
            Path path,
            QwenConfig config,
            GenerationDefaults defaults,
            Map<String, String> metadata,
            SafetensorsShards shards,
            @Nullable HfQuantization quantization) {
        this.path = path;
        this.config = config;
        this.defaults = defaults;
        this.metadata = metadata;
        this.shards = shards;
        this.quantization = quantization;
        places = FusedExperts.split(path, config, shards.places());
        Set<String> all = new LinkedHashSet<>(places.keySet());
        if (quantization == null) {
            packed = Map.of();
        } else {
            PackedTensors found = PackedTensors.find(places, quantization, config, new Slabs());
            packed = found.tensors();
            all.removeAll(found.parts());
            all.addAll(packed.keySet());
        }
        names = Collections.unmodifiableSet(all);
    }

    /** Opens and checks a directory. */
    public static SafetensorsCheckpoint open(Path path, ModelLimits limits) {
        var directory = new ModelDirectory(path);
        if (!directory.has(HfConfig.FILE)) {
            throw FormatError.of(
                    Reason.MISSING,
                    path,
                    "there is no " + HfConfig.FILE + "; a model is a directory with " + HfConfig.FILE
                            + " and safetensors files, or a GGUF file, which is named itself and not by its directory");
        }
        JsonObject json = JsonObject.read(directory.file(HfConfig.FILE), HfConfig.MAX_BYTES);
        QwenConfig config = HfConfig.read(json, limits);
        HfQuantization stated = HfQuantization.ofConfig(json);
        GenerationDefaults defaults = HfGenerationDefaults.read(directory, json, config.vocabularyRows());
        Map<String, String> metadata = new LinkedHashMap<>();
        json.fields().forEach((key, value) -> metadata.put(key, shortened(Json.text(value))));
        SafetensorsShards shards = SafetensorsShards.open(directory, limits);
        try {
            HfQuantization quantization = stated != null ? stated : quantization(directory, shards, json);
            var checkpoint = new SafetensorsCheckpoint(path, config, defaults, metadata, shards, quantization);
            TensorChecks.check(checkpoint, QwenTensors.separate(config)::iterator, Dtype.runnable(), UnaryOperator.identity());
            return checkpoint;
        } catch (Throwable e) {
            shards.close();
            throw e;
        }
    }

    /** What a file beside config.json says, if there are tensors that it is needed for. */
    private static @Nullable HfQuantization quantization(ModelDirectory directory, SafetensorsShards shards, JsonObject config) {
        for (String name : shards.places().keySet()) {
            if (name.endsWith(PackedTensors.CODES)) {
                HfQuantization found = HfQuantization.ofOtherFiles(directory);
                if (found == null) {
                    throw config.error(
                            Reason.CONFIG, "quantization_config is missing; there are quantized tensors such as " + name);
                }
                return found;
            }
        }
        return null;
    }

    private static String shortened(String text) {
        return text.length() > 1000 ? text.substring(0, 1000) + "..." : text;
    }

    @Override
    public Path path() {
        return path;
    }

    @Override
    public QwenConfig config() {
        return config;
    }

    @Override
    public Set<String> tensorNames() {
        return names;
    }

    @Override
    public Optional<TensorSource> tensor(String name) {
        if (packed.containsKey(name)) {
            return Optional.of(packed.get(name));
        }
        var place = places.get(name);
        if (place == null || place.entry().weightType().isEmpty() || place.entry().shape().isEmpty()) {
            return Optional.empty();
        }
        List<Long> shape = place.entry().shape();
        long columns = shape.get(shape.size() - 1);
        long rows = 1;
        for (long n : shape.subList(0, shape.size() - 1)) {
            rows *= n; // the reader found the whole product to fit
        }
        return Optional.of(new FileTensor(
                name,
                place.entry().weightType().orElseThrow(),
                rows,
                columns,
                place.file().file(),
                place.file().start(place.entry())));
    }

    @Override
    public long[] shape(String name) {
        PackedTensor tensor = packed.get(name);
        if (tensor != null) {
            return new long[] {tensor.rows(), tensor.columns()};
        }
        var place = places.get(name);
        if (place == null) {
            throw new IllegalArgumentException("no tensor " + name);
        }
        return place.entry().shape().stream().mapToLong(Long::longValue).toArray();
    }

    @Override
    public GenerationDefaults generationDefaults() {
        return defaults;
    }

    @Override
    public ModelFileInfo describe() {
        List<ModelFileInfo.Tensor> tensors = new ArrayList<>();
        shards.places().forEach((name, place) -> tensors.add(
                new ModelFileInfo.Tensor(name, place.entry().dtype(), place.entry().shape(), place.entry().bytes())));
        String quantized = quantization == null ? "not quantized" : quantization.description();
        return new ModelFileInfo(
                "safetensors",
                config.rope().description(),
                quantized,
                QwenTensors.parameters(config),
                Collections.unmodifiableMap(metadata),
                tensors);
    }

    @Override
    public void close() {
        shards.close();
    }
}
