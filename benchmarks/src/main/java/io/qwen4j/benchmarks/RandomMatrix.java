package io.qwen4j.benchmarks;

import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.Random;

/** A matrix of any size whose rows are all the same one, normally distributed: values that kernels meet, in little memory. */
record RandomMatrix(WeightType type, long rows, long columns, byte[] row) implements TensorSource {
    static RandomMatrix of(WeightType type, int rows, int columns) {
        Random random = new Random(1);
        float[] values = new float[columns];
        for (int i = 0; i < columns; i++) {
            values[i] = 0.02f * (float) random.nextGaussian();
        }
        byte[] row = new byte[Math.toIntExact(type.rowBytes(columns))];
        BlockCodec.of(type).encode(values, 0, row, 0, columns);
        return new RandomMatrix(type, rows, columns, row);
    }

    @Override
    public String name() {
        return "random";
    }

    @Override
    public void read(long offset, ByteBuffer target) {
        int at = (int) (offset % row.length);
        while (target.hasRemaining()) {
            int count = Math.min(row.length - at, target.remaining());
            target.put(row, at, count);
            at = 0;
        }
    }
}
