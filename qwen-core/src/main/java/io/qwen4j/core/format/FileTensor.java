package io.qwen4j.core.format;

import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * A tensor that is a range of a file.
 *
 * @param name the checkpoint's name
 * @param type storage type
 * @param rows rows
 * @param columns columns
 * @param file where it is
 * @param start first byte in the file
 */
public record FileTensor(String name, WeightType type, long rows, long columns, ModelFile file, long start) implements TensorSource {
    @Override
    public void read(long offset, ByteBuffer target) {
        Objects.checkFromIndexSize(offset, target.remaining(), byteSize());
        file.read(start + offset, target);
    }
}
