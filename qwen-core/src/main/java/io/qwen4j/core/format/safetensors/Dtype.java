package io.qwen4j.core.format.safetensors;

import io.qwen4j.WeightType;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Element types of safetensors files. */
enum Dtype {
    BOOL(8),
    F4(4),
    F6_E2M3(6),
    F6_E3M2(6),
    U8(8),
    I8(8),
    F8_E5M2(8),
    F8_E4M3(8),
    F8_E8M0(8),
    F8_E4M3FNUZ(8),
    F8_E5M2FNUZ(8),
    I16(16),
    U16(16),
    F16(16, WeightType.F16),
    BF16(16, WeightType.BF16),
    I32(32),
    U32(32),
    F32(32, WeightType.F32),
    C64(64),
    F64(64),
    I64(64),
    U64(64);

    private final int bits;
    private final @Nullable WeightType weightType;

    Dtype(int bits) {
        this(bits, null);
    }

    Dtype(int bits, @Nullable WeightType weightType) {
        this.bits = bits;
        this.weightType = weightType;
    }

    /** The type of a name, or empty. */
    static Optional<Dtype> of(String name) {
        return Arrays.stream(values()).filter(d -> d.name().equals(name)).findFirst();
    }

    /** Size of a value; below 8 for packed types. */
    int bits() {
        return bits;
    }

    /** The type of weights that are stored so, or empty if no weight that runs is. */
    Optional<WeightType> weightType() {
        return Optional.ofNullable(weightType);
    }

    /** Names of the types that weights may have. */
    static String runnable() {
        return Arrays.stream(values())
                .filter(d -> d.weightType != null)
                .map(Enum::name)
                .collect(Collectors.joining(", "));
    }
}
