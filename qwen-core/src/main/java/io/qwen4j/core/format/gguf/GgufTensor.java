package io.qwen4j.core.format.gguf;

import io.qwen4j.WeightType;
import java.util.List;

/**
 * A tensor in the table of a GGUF file.
 *
 * @param name its name in the file
 * @param type storage type
 * @param shape dimensions, the slowest first: the reverse of the file's order
 * @param bytes its size
 * @param offset first byte, relative to the data
 */
public record GgufTensor(String name, WeightType type, List<Long> shape, long bytes, long offset) {
    /** Values in a row: the fastest dimension. */
    public long columns() {
        return shape.get(shape.size() - 1);
    }

    /** Rows. */
    public long rows() {
        return bytes / type.rowBytes(columns());
    }
}
