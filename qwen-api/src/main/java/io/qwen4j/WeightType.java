package io.qwen4j;

/**
 * Storage formats of weights: plain floating point, the GGUF block formats, and the blocks that checkpoints of GPTQ and AWQ are read as.
 *
 * <p>A block format stores {@link #blockSize()} consecutive values of a row in {@link #blockBytes()} bytes; a row must be a whole number of
 * blocks. Source of the GGUF formats: {@code ggml-common.h} of the ggml project. The {@code INT} formats keep what a GPTQ or AWQ checkpoint
 * has, value = scale (code - zero), without loss; they are read only: no model is quantized to them.
 */
public enum WeightType {
    /** IEEE 754 single precision. */
    F32(0, 1, 4),
    /** IEEE 754 half precision. */
    F16(1, 1, 2),
    /** The upper 16 bits of a single-precision number. */
    BF16(30, 1, 2),
    /** 4 bits, one scale for 32 values. */
    Q4_0(2, 32, 18),
    /** 4 bits, one scale and one minimum for 32 values. */
    Q4_1(3, 32, 20),
    /** 5 bits, one scale for 32 values. */
    Q5_0(6, 32, 22),
    /** 5 bits, one scale and one minimum for 32 values. */
    Q5_1(7, 32, 24),
    /** 8 bits, one scale for 32 values. */
    Q8_0(8, 32, 34),
    /** 2 bits, 16 groups of 16 values with 4-bit scales and minimums. */
    Q2_K(10, 256, 84),
    /** 3 bits, 16 groups of 16 values with 6-bit scales. */
    Q3_K(11, 256, 110),
    /** 4 bits, 8 groups of 32 values with 6-bit scales and minimums. */
    Q4_K(12, 256, 144),
    /** 5 bits, 8 groups of 32 values with 6-bit scales and minimums. */
    Q5_K(13, 256, 176),
    /** 6 bits, 16 groups of 16 values with 8-bit scales. */
    Q6_K(14, 256, 210),
    /** 4 bits into a table of 16 uneven steps, one scale for 32 values. */
    IQ4_NL(20, 32, 18),
    /** 4 bits into a table of 16 uneven steps, 8 groups of 32 values with 6-bit scales. */
    IQ4_XS(23, 256, 136),
    /** 4 bits, one half-precision scale and one 8-bit zero point for 32 values; of GPTQ and AWQ. */
    INT4_G32(WeightType.NOT_GGML, 32, 19),
    /** 4 bits, one half-precision scale and one 8-bit zero point for 128 values; of GPTQ and AWQ. */
    INT4_G128(WeightType.NOT_GGML, 128, 67),
    /** 8 bits, one half-precision scale and one 8-bit zero point for 32 values; of GPTQ. */
    INT8_G32(WeightType.NOT_GGML, 32, 35),
    /** 8 bits, one half-precision scale and one 8-bit zero point for 128 values; of GPTQ. */
    INT8_G128(WeightType.NOT_GGML, 128, 131);

    private static final int NOT_GGML = -1;

    private final int ggmlType;
    private final int blockSize;
    private final int blockBytes;

    WeightType(int ggmlType, int blockSize, int blockBytes) {
        this.ggmlType = ggmlType;
        this.blockSize = blockSize;
        this.blockBytes = blockBytes;
    }

    /**
     * The number of this type in a GGUF tensor table.
     *
     * @return the ggml type number; -1 where {@link #isGguf()} is false
     */
    public int ggmlType() {
        return ggmlType;
    }

    /**
     * The number of values in a block.
     *
     * @return 1, 32, 128 or 256
     */
    public int blockSize() {
        return blockSize;
    }

    /**
     * The size of a block.
     *
     * @return the size in bytes
     */
    public int blockBytes() {
        return blockBytes;
    }

    /**
     * Whether GGUF files have this type: it can be written, and a model can be quantized to it.
     *
     * @return false for the types of GPTQ and AWQ checkpoints
     */
    public boolean isGguf() {
        return ggmlType != NOT_GGML;
    }

    /**
     * Whether values are stored in quantized blocks.
     *
     * @return false for F32, F16 and BF16
     */
    public boolean isQuantized() {
        return blockSize > 1;
    }

    /**
     * The size of a row of values.
     *
     * @param columns number of values, at least 0 and a multiple of {@link #blockSize()}
     * @return the size in bytes
     * @throws IllegalArgumentException if the row is not a whole number of blocks
     * @throws ArithmeticException if the size exceeds a long
     */
    public long rowBytes(long columns) {
        if (columns < 0 || columns % blockSize != 0) {
            throw new IllegalArgumentException(
                    "a row of " + columns + " values is not a whole number of " + name() + " blocks of " + blockSize);
        }
        return Math.multiplyExact(columns / blockSize, (long) blockBytes);
    }
}
