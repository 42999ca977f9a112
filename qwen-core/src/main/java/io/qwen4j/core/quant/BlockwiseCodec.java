package io.qwen4j.core.quant;

import io.qwen4j.WeightType;
import java.util.Objects;

/** Walks over blocks; subclasses know one block. */
abstract class BlockwiseCodec implements BlockCodec {
    private final int blockSize;
    private final int blockBytes;

    BlockwiseCodec(WeightType type) {
        blockSize = type.blockSize();
        blockBytes = type.blockBytes();
    }

    @Override
    public final void decode(byte[] blocks, int blockOffset, float[] values, int valueOffset, int count) {
        check(values.length, valueOffset, blocks.length, blockOffset, count);
        int from = blockOffset;
        for (int i = 0; i < count; i += blockSize) {
            decodeBlock(blocks, from, values, valueOffset + i);
            from += blockBytes;
        }
    }

    @Override
    public final void encode(float[] values, int valueOffset, byte[] blocks, int blockOffset, int count) {
        check(values.length, valueOffset, blocks.length, blockOffset, count);
        Scratch scratch = new Scratch();
        int to = blockOffset;
        for (int i = 0; i < count; i += blockSize) {
            encodeBlock(values, valueOffset + i, blocks, to, scratch);
            to += blockBytes;
        }
    }

    private void check(int values, int valueOffset, int bytes, int blockOffset, int count) {
        if (count < 0 || count % blockSize != 0) {
            throw new IllegalArgumentException(count + " values are not a whole number of blocks of " + blockSize);
        }
        Objects.checkFromIndexSize(valueOffset, count, values);
        Objects.checkFromIndexSize((long) blockOffset, (long) (count / blockSize) * blockBytes, bytes);
    }

    /** Decodes the block at {@code b[at]} into {@code x[to]} and following. */
    abstract void decodeBlock(byte[] b, int at, float[] x, int to);

    /** Encodes the values from {@code x[at]} into the block at {@code b[to]}; every byte of the block is written. */
    abstract void encodeBlock(float[] x, int at, byte[] b, int to, Scratch scratch);

    /** Working memory of one call, for the searches of the K-blocks. */
    static final class Scratch {
        /** Importance of each value of a group. */
        final float[] importance = new float[32];
        /** Scale of each group. */
        final float[] scales = new float[16];
        /** Offset of each group. */
        final float[] minimums = new float[16];
    }
}
