package io.qwen4j.core.format.gguf;

import org.jspecify.annotations.Nullable;

/** Types of metadata values; the ordinal is the number in the file. */
public enum GgufType {
    /** 8 bits, unsigned. */
    UINT8(1),
    /** 8 bits. */
    INT8(1),
    /** 16 bits, unsigned. */
    UINT16(2),
    /** 16 bits. */
    INT16(2),
    /** 32 bits, unsigned. */
    UINT32(4),
    /** 32 bits. */
    INT32(4),
    /** Single precision. */
    FLOAT32(4),
    /** One byte, 0 or 1. */
    BOOL(1),
    /** Length in 64 bits, then UTF-8. */
    STRING(8),
    /** Element type in 32 bits, count in 64 bits, then the elements. */
    ARRAY(12),
    /** 64 bits, unsigned. */
    UINT64(8),
    /** 64 bits. */
    INT64(8),
    /** Double precision. */
    FLOAT64(8);

    private static final GgufType[] TYPES = values();

    private final int leastBytes;

    GgufType(int leastBytes) {
        this.leastBytes = leastBytes;
    }

    /** Size of a value; for strings and arrays that of an empty one. */
    int leastBytes() {
        return leastBytes;
    }

    /** Whether it is a signed or unsigned integer. */
    boolean isInteger() {
        return this != FLOAT32 && this != FLOAT64 && this != BOOL && this != STRING && this != ARRAY;
    }

    /** The type of a number, or null. */
    static @Nullable GgufType of(int number) {
        return number >= 0 && number < TYPES.length ? TYPES[number] : null;
    }
}
