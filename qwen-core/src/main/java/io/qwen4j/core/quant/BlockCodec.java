package io.qwen4j.core.quant;

import io.qwen4j.WeightType;

/**
 * Turns rows of values into blocks and back. Implementations are stateless and thread-safe; {@link #of(WeightType)} finds them.
 *
 * <p>Decoding is the definition of a type: every kernel is tested against it.
 */
public interface BlockCodec {
    /** The codec of a type, plain ones included. */
    static BlockCodec of(WeightType type) {
        return BlockCodecs.of(type);
    }

    /**
     * Decodes values.
     *
     * @param blocks whole blocks, from {@code blockOffset}
     * @param values receives {@code count} values from {@code valueOffset}
     * @param count a multiple of the block size
     */
    void decode(byte[] blocks, int blockOffset, float[] values, int valueOffset, int count);

    /**
     * Encodes values.
     *
     * @param values finite values, {@code count} from {@code valueOffset}
     * @param blocks receives whole blocks from {@code blockOffset}
     * @param count a multiple of the block size
     */
    void encode(float[] values, int valueOffset, byte[] blocks, int blockOffset, int count);
}
