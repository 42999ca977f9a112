package io.qwen4j.core.model;

import io.qwen4j.WeightType;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.Random;

/**
 * Blocks of normally distributed values, encoded once and then drawn at random: a matrix of them costs copying instead of encoding, and a
 * file is written as fast as the disk takes it. 1024 units of 256 values make more different rows than a model has.
 */
final class SyntheticBlocks {
    private static final int UNITS = 1024;
    /** Values of a unit: the largest block, and whole blocks of every type. */
    private static final int UNIT_VALUES = 256;

    private final byte[] pool;
    private final int unitBytes;

    /**
     * Encodes the pool.
     *
     * @param deviation standard deviation of the values; their mean is 0
     */
    SyntheticBlocks(WeightType type, double deviation, Random random) {
        unitBytes = (int) type.rowBytes(UNIT_VALUES);
        pool = new byte[UNITS * unitBytes];
        float[] values = new float[UNIT_VALUES];
        for (int unit = 0; unit < UNITS; unit++) {
            for (int i = 0; i < UNIT_VALUES; i++) {
                values[i] = (float) (deviation * random.nextGaussian());
            }
            BlockCodec.of(type).encode(values, 0, pool, unit * unitBytes, UNIT_VALUES);
        }
    }

    /** Fills a buffer from its position to its limit, a whole number of blocks, and leaves it full. */
    void fill(ByteBuffer target, Random random) {
        while (target.hasRemaining()) {
            target.put(pool, random.nextInt(UNITS) * unitBytes, Math.min(unitBytes, target.remaining()));
        }
    }
}
