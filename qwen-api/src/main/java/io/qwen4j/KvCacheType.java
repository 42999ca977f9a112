package io.qwen4j;

/** How keys and values of past tokens are kept. */
public enum KvCacheType {
    /** Single precision: 4 bytes a value. */
    F32(4),
    /** Half precision: 2 bytes a value. */
    F16(2),
    /** bfloat16: 2 bytes a value. */
    BF16(2),
    /**
     * Integers of 8 bits with a scale for each token and head, keys less the rotated bias of their projection: 1 byte a value and, for 32
     * tokens of a head together, 256 bytes of scales and 2 bytes for each of its elements. That is 53 to 55 % of half precision; an
     * element is off by up to 1/254 of the largest one of its token and head.
     */
    INT8(1);

    private final int bytes;

    KvCacheType(int bytes) {
        this.bytes = bytes;
    }

    /**
     * The size of one value, scales not counted.
     *
     * @return the size in bytes
     */
    public int bytes() {
        return bytes;
    }
}
