package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.safetensors.HfQuantization.Method;
import io.qwen4j.core.format.safetensors.SafetensorsShards.Place;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Finds what GPTQ and AWQ store instead of a matrix, {@code X.qweight} and what belongs to it, and makes it a tensor {@code X.weight}. */
final class PackedTensors {
    /** Ending of the tensor with the codes. */
    static final String CODES = ".qweight";

    private static final String WEIGHT = ".weight";
    private static final String ZEROS = ".qzeros";
    private static final String SCALES = ".scales";
    private static final String GROUPS = ".g_idx";
    private static final String BIAS = ".bias";

    private final Map<String, Place> places;
    private final HfQuantization quantization;
    private final Set<String> vectors;
    private final Slabs slabs;
    private final Map<String, PackedTensor> tensors = new LinkedHashMap<>();
    private final Set<String> parts = new HashSet<>();

    private PackedTensors(Map<String, Place> places, HfQuantization quantization, QwenConfig config, Slabs slabs) {
        this.places = places;
        this.quantization = quantization;
        this.slabs = slabs;
        vectors = QwenTensors.of(config).stream().filter(e -> !e.matrix()).map(QwenTensors.Expected::name).collect(Collectors.toSet());
    }

    /** Makes the tensors of the table that are stored so, up to the first that is stored in no way: the file is refused for it. */
    static PackedTensors find(Map<String, Place> places, HfQuantization quantization, QwenConfig config, Slabs slabs) {
        var found = new PackedTensors(places, quantization, config, slabs);
        QwenTensors.separate(config)
                .filter(e -> e.kind() == QwenTensors.Kind.MATRIX && !e.name().equals(QwenTensors.EMBEDDING))
                .takeWhile(found::add)
                .forEach(e -> {});
        return found;
    }

    /** The tensors by name. */
    Map<String, PackedTensor> tensors() {
        return tensors;
    }

    /** Names of what they are made of. */
    Set<String> parts() {
        return parts;
    }

    /** Whether a matrix is stored as codes, or as values. */
    private boolean add(QwenTensors.Expected expected) {
        String module = expected.name().substring(0, expected.name().length() - WEIGHT.length());
        boolean plain = places.containsKey(expected.name());
        Place codes = places.get(module + CODES);
        if (codes == null) {
            for (String part : new String[] {ZEROS, SCALES}) {
                Place other = places.get(module + part);
                if (other != null && !plain) {
                    throw error(other, Reason.MISSING, "is there, but " + module + CODES + " is missing");
                }
            }
            return plain;
        }
        if (plain) {
            throw error(codes, Reason.DUPLICATE, "is there, and " + expected.name() + " is, too");
        }
        if (quantization.keeps(module)) {
            throw error(codes, Reason.CONFIG, "is there, but modules_to_not_convert has " + quantization.notConverted());
        }
        int rows = Math.toIntExact(expected.rows());
        int columns = Math.toIntExact(expected.columns());
        WeightType type = type(codes, columns);
        int perWord = quantization.codesPerWord();
        boolean awq = quantization.method() == Method.AWQ;
        if (rows % perWord != 0) {
            throw error(codes, Reason.UNSUPPORTED, "has " + rows + " rows, expected a multiple of " + perWord);
        }
        int groups = PackedTensor.groups(quantization, columns);
        check(codes, "I32", awq ? new long[] {columns, rows / perWord} : new long[] {columns / perWord, rows});
        Place zeros = part(codes, module + ZEROS, "I32", groups, rows / perWord);
        Place scales = part(codes, module + SCALES, "F16", groups, rows);
        tensors.put(expected.name(), new PackedTensor(
                expected.name(),
                quantization,
                type,
                rows,
                columns,
                new PackedTensor.Parts(codes, zeros, scales, awq ? null : groupIndex(codes, module, columns), bias(module, rows)),
                slabs));
        parts.addAll(List.of(module + CODES, module + ZEROS, module + SCALES, module + GROUPS));
        return true;
    }

    private WeightType type(Place codes, int columns) {
        int size = quantization.groupSize() == 0 ? columns : quantization.groupSize();
        boolean fourBits = quantization.bits() == 4;
        if (columns % 128 == 0 && size % 128 == 0) {
            return fourBits ? WeightType.INT4_G128 : WeightType.INT8_G128;
        }
        if (columns % 32 == 0) {
            return fourBits ? WeightType.INT4_G32 : WeightType.INT8_G32;
        }
        throw error(codes, Reason.UNSUPPORTED, "is of a matrix of " + columns + " columns, expected a multiple of 32");
    }

    private Place part(Place codes, String name, String dtype, long... shape) {
        Place place = places.get(name);
        if (place == null) {
            throw error(codes, Reason.MISSING, "is there, but " + name + " is missing");
        }
        check(place, dtype, shape);
        return place;
    }

    private @Nullable Place groupIndex(Place codes, String module, int columns) {
        String name = module + GROUPS;
        return quantization.actOrder() || places.containsKey(name) ? part(codes, name, "I32", columns) : null;
    }

    /** AutoGPTQ writes a bias of zeros where a module has none. */
    private @Nullable Place bias(String module, int rows) {
        String name = module + BIAS;
        Place place = places.get(name);
        if (place == null || vectors.contains(name)) {
            return null;
        }
        if (place.entry().weightType().isEmpty()) {
            throw error(place, Reason.UNSUPPORTED, "has type " + place.entry().dtype() + "; those that run: " + Dtype.runnable());
        }
        check(place, place.entry().dtype(), rows);
        parts.add(name);
        return place;
    }

    private static void check(Place place, String dtype, long... shape) {
        SafetensorsEntry entry = place.entry();
        if (!entry.dtype().equals(dtype)) {
            throw error(place, Reason.UNSUPPORTED, "has type " + entry.dtype() + ", expected " + dtype);
        }
        List<Long> expected = Arrays.stream(shape).boxed().toList();
        if (!entry.shape().equals(expected)) {
            throw error(place, Reason.SHAPE, "has shape " + entry.shape() + ", the configuration requires " + expected);
        }
    }

    private static ModelFileException error(Place place, Reason reason, String message) {
        return place.file().file().error(reason, "the tensor " + place.entry().name() + " " + message);
    }
}
