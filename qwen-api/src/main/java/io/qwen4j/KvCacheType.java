package io.qwen4j;

/** How keys and values of past tokens are kept. */
public enum KvCacheType {
    /** Single precision: 4 bytes a value. */
    F32(4),
    /** Half precision: 2 bytes a value. */
    F16(2),
    /** bfloat16: 2 bytes a value. */
    BF16(2);

    private final int bytes;

    KvCacheType(int bytes) {
        this.bytes = bytes;
    }

    /**
     * The size of one value.
     *
     * @return the size in bytes
     */
    public int bytes() {
        return bytes;
    }
}
