package io.qwen4j.core.format.safetensors;

import io.qwen4j.WeightType;
import java.util.List;
import java.util.Optional;

/**
 * A tensor of a safetensors file.
 *
 * @param name its name
 * @param dtype element type, in the file's words
 * @param shape dimensions, the slowest first; empty for a scalar
 * @param bytes size that follows from shape and type
 * @param begin first byte, relative to the data
 * @param end byte behind the last
 * @param weightType the type of weights that are stored so, or empty if no weight that runs is
 */
public record SafetensorsEntry(
        String name, String dtype, List<Long> shape, long bytes, long begin, long end, Optional<WeightType> weightType) {}
