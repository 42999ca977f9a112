package io.qwen4j.natives;

import io.qwen4j.WeightType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.quant.BlockCodec;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

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

    /** A tensor whose columns are stored in another order. */
    record Ordered(TensorSource stored, int[] columnOrder) implements TensorSource {
        @Override
        public String name() {
            return stored.name();
        }

        @Override
        public WeightType type() {
            return stored.type();
        }

        @Override
        public long rows() {
            return stored.rows();
        }

        @Override
        public long columns() {
            return stored.columns();
        }

        @Override
        public void read(long offset, ByteBuffer target) {
            stored.read(offset, target);
        }
    }

    /** A random order of columns. */
    static int[] order(int columns, Random random) {
        List<Integer> order = new ArrayList<>(IntStream.range(0, columns).boxed().toList());
        Collections.shuffle(order, random);
        return order.stream().mapToInt(Integer::intValue).toArray();
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
