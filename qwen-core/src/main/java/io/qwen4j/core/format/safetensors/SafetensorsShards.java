package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.FormatError;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.format.ModelDirectory;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The safetensors files of a directory: {@code model.safetensors}, or the shards that an index lists. */
final class SafetensorsShards implements AutoCloseable {
    private static final String SINGLE = "model.safetensors";
    private static final String INDEX = "model.safetensors.index.json";

    private final Map<String, SafetensorsFile> files = new LinkedHashMap<>();
    private final Map<String, Place> places = new LinkedHashMap<>();

    private SafetensorsShards() {}

    /**
     * Where a tensor is.
     *
     * @param file the file
     * @param entry the entry in its header
     */
    record Place(SafetensorsFile file, SafetensorsEntry entry) {}

    static SafetensorsShards open(ModelDirectory directory, ModelLimits limits) {
        var shards = new SafetensorsShards();
        try {
            // Both may be there; transformers takes the single file then, too.
            if (directory.has(SINGLE)) {
                SafetensorsFile file = SafetensorsFile.open(directory.file(SINGLE), limits);
                shards.files.put(SINGLE, file);
                file.entries().forEach((name, entry) -> shards.places.put(name, new Place(file, entry)));
            } else if (directory.has(INDEX)) {
                shards.readIndex(directory, limits);
            } else {
                throw FormatError.of(
                        Reason.MISSING, directory.path(), "there is neither " + SINGLE + " nor " + INDEX + "; other formats are not read");
            }
            return shards;
        } catch (Throwable e) {
            shards.close();
            throw e;
        }
    }

    private void readIndex(ModelDirectory directory, ModelLimits limits) {
        Path path = directory.file(INDEX);
        JsonObject index = JsonObject.read(path, limits.headerBytes());
        if (!(index.fields().get("weight_map") instanceof Map<?, ?> map)) {
            throw index.error(Reason.CORRUPT, "weight_map must be an object that gives each tensor's file");
        }
        if (map.size() > limits.tensors()) {
            throw index.error(Reason.LIMIT, "weight_map has " + map.size() + " tensors, at most " + limits.tensors() + " are read");
        }
        // All names are checked before the first file is opened.
        Map<String, Path> paths = new LinkedHashMap<>();
        map.forEach((tensor, file) -> {
            if (!(file instanceof String name)) {
                throw index.error(Reason.CORRUPT, "weight_map." + tensor + " must be a file name");
            }
            if (!paths.containsKey(name)) {
                paths.put(name, directory.named(name, path));
            }
        });
        paths.forEach((name, file) -> files.put(name, openShard(index, file, limits)));
        map.forEach((tensor, file) -> place(index, (String) tensor, (String) file));
        refuseDuplicates(index);
    }

    private static SafetensorsFile openShard(JsonObject index, Path path, ModelLimits limits) {
        if (path.toFile().isFile() && path.toFile().length() == 0) {
            throw FormatError.of(Reason.MISSING, path, "the shard is empty");
        }
        return SafetensorsFile.open(path, limits);
    }

    private void place(JsonObject index, String tensor, String fileName) {
        SafetensorsFile file = files.get(fileName);
        SafetensorsEntry entry = file.entries().get(tensor);
        if (entry == null) {
            throw index.error(Reason.MISSING, "the tensor " + tensor + " is missing in " + fileName + ", where weight_map has it");
        }
        places.put(tensor, new Place(file, entry));
    }

    private void refuseDuplicates(JsonObject index) {
        Map<String, String> first = new LinkedHashMap<>();
        files.forEach((fileName, file) -> file.entries().keySet().forEach(tensor -> {
            String other = first.putIfAbsent(tensor, fileName);
            if (other != null) {
                throw index.error(Reason.DUPLICATE, "the tensor " + tensor + " is both in " + other + " and in " + fileName);
            }
        }));
    }

    /** The tensors by name. */
    Map<String, Place> places() {
        return places;
    }

    @Override
    public void close() {
        files.values().forEach(SafetensorsFile::close);
    }
}
