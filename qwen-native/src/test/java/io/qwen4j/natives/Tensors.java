package io.qwen4j.natives;

import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.Random;

/** Tensors and activations of random or given values. */
final class Tensors {
    private Tensors() {}

    /** A tensor in memory. */
    record Source(String name, WeightType type, long rows, long columns, byte[] blocks) implements TensorSource {
        @Override
        public void read(long offset, ByteBuffer target) {
            target.put(blocks, Math.toIntExact(offset), target.remaining());
        }
    }

    static Source source(WeightType type, int rows, int columns, float[] values) {
        byte[] blocks = new byte[Math.toIntExact(rows * type.rowBytes(columns))];
        BlockCodec.of(type).encode(values, 0, blocks, 0, rows * columns);
        return new Source("test." + type, type, rows, columns, blocks);
    }

    static Source random(WeightType type, int rows, int columns, Random random) {
        return source(type, rows, columns, values(rows * columns, random));
    }

    static float[] values(int count, Random random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    static Activation activation(Ops ops, int rows, int columns, float[] values) {
        Activation x = ops.activation(rows, columns);
        x.buffer().put(0, values);
        return x;
    }

    static float[] read(Activation x) {
        float[] values = new float[x.rows() * x.columns()];
        x.buffer().get(0, values);
        return values;
    }
}
