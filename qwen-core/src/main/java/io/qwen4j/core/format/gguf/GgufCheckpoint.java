package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.format.FileTensor;
import io.qwen4j.core.format.FormatError;
import io.qwen4j.core.format.GenerationDefaults;
import io.qwen4j.core.format.TensorChecks;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.core.ops.TensorSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A model in one or several GGUF files. */
public final class GgufCheckpoint implements Checkpoint {
    private final Path path;
    private final List<GgufFile> files;
    private final Map<String, Place> places;
    private final QwenConfig config;
    private final GenerationDefaults defaults;

    /** Where a tensor is. */
    private record Place(GgufFile file, GgufTensor tensor) {}

    private GgufCheckpoint(Path path, List<GgufFile> files, ModelLimits limits) {
        this.path = path;
        this.files = files;
        GgufMetadata metadata = metadata();
        GgufConfig.checkArchitecture(metadata);
        this.places = places(files);
        this.config = GgufConfig.read(metadata, vocabularyRows(limits), places.keySet(), limits);
        WeightType[] types = Arrays.stream(WeightType.values()).filter(WeightType::isGguf).toArray(WeightType[]::new);
        TensorChecks.check(this, QwenTensors.of(config), Arrays.toString(types), GgufNames::toGguf);
        this.defaults = GgufGenerationDefaults.read(metadata, config.vocabularyRows());
    }

    /** Opens and checks a file, or all files of a split model given its first one. */
    public static GgufCheckpoint open(Path path, ModelLimits limits) {
        List<GgufFile> files = GgufParts.open(path, limits);
        try {
            return new GgufCheckpoint(path, files, limits);
        } catch (Throwable e) {
            files.forEach(GgufFile::close);
            throw e;
        }
    }

    private static Map<String, Place> places(List<GgufFile> files) {
        Map<String, Place> places = new LinkedHashMap<>();
        for (GgufFile file : files) {
            for (GgufTensor tensor : file.tensors().values()) {
                if (places.put(GgufNames.toCheckpoint(tensor.name()), new Place(file, tensor)) != null) {
                    throw file.file().error(Reason.DUPLICATE, "the tensor " + tensor.name() + " occurs twice in the model's files");
                }
            }
        }
        return places;
    }

    private int vocabularyRows(ModelLimits limits) {
        Place embedding = places.get(QwenTensors.EMBEDDING);
        if (embedding == null) {
            throw FormatError.of(Reason.MISSING, path, "the tensor " + GgufNames.toGguf(QwenTensors.EMBEDDING) + " is missing");
        }
        long rows = embedding.tensor().rows();
        if (rows > limits.vocabulary()) {
            throw FormatError.of(
                    Reason.LIMIT, path, "the vocabulary has " + rows + " rows, at most " + limits.vocabulary() + " are read");
        }
        return (int) rows;
    }

    /** The metadata of the first file. */
    public GgufMetadata metadata() {
        return files.get(0).metadata();
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
        return Collections.unmodifiableSet(places.keySet());
    }

    @Override
    public Optional<TensorSource> tensor(String name) {
        Place place = places.get(name);
        if (place == null) {
            return Optional.empty();
        }
        GgufTensor t = place.tensor();
        return Optional.of(new FileTensor(name, t.type(), t.rows(), t.columns(), place.file().file(), place.file().start(t)));
    }

    @Override
    public List<TensorSource> matrices(QwenTensors.Expected expected) {
        if (expected.kind() != QwenTensors.Kind.STACK) {
            return Checkpoint.super.matrices(expected);
        }
        Place place = places.get(expected.name());
        if (place == null) {
            throw FormatError.of(Reason.MISSING, path, "the tensor " + GgufNames.toGguf(expected.name()) + " is missing");
        }
        GgufTensor t = place.tensor();
        long begin = place.file().start(t);
        long bytes = t.bytes() / expected.count();
        List<TensorSource> parts = new ArrayList<>();
        for (int i = 0; i < expected.count(); i++) {
            parts.add(new FileTensor(
                    expected.part(i).name(), t.type(), expected.rows(), t.columns(), place.file().file(), begin + i * bytes));
        }
        return parts;
    }

    @Override
    public long[] shape(String name) {
        Place place = places.get(name);
        if (place == null) {
            throw new IllegalArgumentException("no tensor " + name);
        }
        return place.tensor().shape().stream().mapToLong(Long::longValue).toArray();
    }

    @Override
    public GenerationDefaults generationDefaults() {
        return defaults;
    }

    @Override
    public ModelFileInfo describe() {
        Map<String, String> texts = new LinkedHashMap<>();
        metadata().keys().forEach(key -> texts.put(key, metadata().value(key).text()));
        List<ModelFileInfo.Tensor> tensors = new ArrayList<>();
        for (Place place : places.values()) {
            GgufTensor t = place.tensor();
            tensors.add(new ModelFileInfo.Tensor(t.name(), t.type().name(), t.shape(), t.bytes()));
        }
        return new ModelFileInfo(
                "gguf",
                config.rope().description(),
                "by type of tensor",
                QwenTensors.parameters(config),
                Collections.unmodifiableMap(texts),
                tensors);
    }

    @Override
    public void close() {
        files.forEach(GgufFile::close);
    }
}
