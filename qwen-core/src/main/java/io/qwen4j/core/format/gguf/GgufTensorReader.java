package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Reads the tensor table of a GGUF header. */
final class GgufTensorReader {
    private static final int MAX_NAME_BYTES = 64;
    private static final int MAX_DIMENSIONS = 4;
    /** Name length, number of dimensions, type and offset. */
    private static final int LEAST_BYTES = 24;

    private final GgufHeaderReader in;

    GgufTensorReader(GgufHeaderReader in) {
        this.in = in;
    }

    /** Refuses a count that cannot be; {@link #read} comes after the metadata. */
    void checkCount(long tensors, ModelLimits limits) {
        long possible = Math.min(limits.tensors(), in.left() / LEAST_BYTES);
        if (tensors < 0 || tensors > possible) {
            throw in.error(
                    Reason.LIMIT, Long.toUnsignedString(tensors) + " tensors are declared, at most " + possible + " are possible here");
        }
    }

    Map<String, GgufTensor> read(long tensors) {
        Map<String, GgufTensor> table = new LinkedHashMap<>();
        long total = 0;
        for (long i = 0; i < tensors; i++) {
            GgufTensor tensor = tensor();
            if (table.put(tensor.name(), tensor) != null) {
                throw in.error(Reason.DUPLICATE, "the tensor " + tensor.name() + " occurs twice");
            }
            try {
                total = Math.addExact(total, tensor.bytes());
            } catch (ArithmeticException e) {
                throw in.error(Reason.OVERFLOW, "the sizes of the tensors up to " + tensor.name() + " do not fit in 64 bits");
            }
        }
        return table;
    }

    private GgufTensor tensor() {
        long length = in.u64("the length of a tensor's name");
        if (length < 0 || length > MAX_NAME_BYTES) {
            throw in.error(
                    Reason.LIMIT,
                    "a tensor's name of " + Long.toUnsignedString(length) + " bytes, at most " + MAX_NAME_BYTES + " are read");
        }
        if (length == 0) {
            throw in.error(Reason.CORRUPT, "a tensor has an empty name");
        }
        String name = in.string(length, "a tensor's name");
        Long[] shape = shape(name);
        WeightType type = type(name, in.u32("the type of " + name));
        long offset = in.u64("the offset of " + name);
        return new GgufTensor(name, type, List.of(shape), bytes(name, shape, type), offset);
    }

    private Long[] shape(String name) {
        int dimensions = in.u32("the dimensions of " + name);
        if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
            throw in.error(
                    Reason.SHAPE,
                    "the tensor " + name + " has " + Integer.toUnsignedString(dimensions) + " dimensions, expected 1 to " + MAX_DIMENSIONS);
        }
        Long[] shape = new Long[dimensions];
        for (int i = dimensions - 1; i >= 0; i--) {
            long n = in.u64("the dimensions of " + name);
            if (n < 1 || n > Integer.MAX_VALUE) {
                throw in.error(
                        Reason.OVERFLOW,
                        "the tensor " + name + " has a dimension of " + Long.toUnsignedString(n) + ", expected 1 to " + Integer.MAX_VALUE);
            }
            shape[i] = n;
        }
        return shape;
    }

    private WeightType type(String name, int number) {
        @Nullable WeightType type =
                Arrays.stream(WeightType.values()).filter(t -> t.isGguf() && t.ggmlType() == number).findFirst().orElse(null);
        if (type == null) {
            throw in.error(
                    Reason.UNSUPPORTED,
                    "the tensor " + name + " has the ggml type " + number + "; those that run: "
                            + Arrays.stream(WeightType.values())
                                    .filter(WeightType::isGguf)
                                    .map(t -> t + " (" + t.ggmlType() + ")")
                                    .collect(Collectors.joining(", ")));
        }
        return type;
    }

    /** Values times the bytes of a block must fit, too: a size that fits only when divided first is no size of a real tensor. */
    private long bytes(String name, Long[] shape, WeightType type) {
        long columns = shape[shape.length - 1];
        if (columns % type.blockSize() != 0) {
            throw in.error(
                    Reason.SHAPE,
                    "the tensor " + name + " has rows of " + columns + " values, no whole number of " + type + " blocks of "
                            + type.blockSize());
        }
        try {
            long values = 1;
            for (long n : shape) {
                values = Math.multiplyExact(values, n);
            }
            return Math.multiplyExact(values, (long) type.blockBytes()) / type.blockSize();
        } catch (ArithmeticException e) {
            throw in.error(
                    Reason.OVERFLOW,
                    "the tensor " + name + " of shape " + Arrays.toString(shape) + " and type " + type + " does not fit in 64 bits");
        }
    }
}
