package io.qwen4j.core.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.KvCacheType;
import io.qwen4j.core.quant.HalfFloats;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class JavaAttentionTest {
    private static final Random RANDOM = new Random(6);

    private static float[] random(int count) {
        float[] out = new float[count];
        for (int i = 0; i < count; i++) {
            out[i] = (float) RANDOM.nextGaussian();
        }
        return out;
    }

    /** Two sequences with pages out of order: rotation, rounding in the cache, and attention against the formula. */
    @ParameterizedTest
    @EnumSource
    void attentionReadsThePagesOfItsSequence(KvCacheType type) {
        int heads = 6;
        int kvHeads = 2;
        int size = 16;
        AttentionShape shape = new AttentionShape(heads, kvHeads, size, 0.25f);
        int width = shape.qkvWidth();
        int[] lengths = {7, 3};
        try (Ops ops = new JavaOps(new OpsOptions(2, null))) {
            KvCache cache = ops.kvCache(new KvLayout(type, 2, 8, 4, kvHeads, size));
            float[][] qkv = {random(lengths[0] * width), random(lengths[1] * width)};
            float[][] angles = {random(lengths[0] * size), random(lengths[1] * size)};
            int[][] tables = {{5, 2}, {7}};
            float[][] out = new float[2][];
            out[0] = new float[lengths[0] * shape.queryWidth()];
            out[1] = new float[lengths[1] * shape.queryWidth()];
            // First 4 tokens of the first sequence, then its last 3 together with the second sequence.
            runSlices(ops, shape, cache, qkv, angles, tables, out, new int[][] {{0, 0, 4}});
            runSlices(ops, shape, cache, qkv, angles, tables, out, new int[][] {{1, 0, 3}, {0, 4, 3}});
            for (int b = 0; b < 2; b++) {
                checkAttention(shape, type, lengths[b], qkv[b], angles[b], out[b]);
            }
        }
    }

    /** Each slice is {sequence, first token, count}. */
    private static void runSlices(
            Ops ops, AttentionShape shape, KvCache cache, float[][] qkv, float[][] angles, int[][] tables, float[][] out, int[][] slices) {
        int width = shape.qkvWidth();
        Batch batch = new Batch(ops, 16, 2, 2, 4);
        Activation x = ops.activation(16, width);
        Activation rotation = ops.activation(16, shape.headSize());
        int row = 0;
        for (int[] slice : slices) {
            batch.beginSequence(slice[1], tables[slice[0]], tables[slice[0]].length);
            for (int t = slice[1]; t < slice[1] + slice[2]; t++) {
                batch.addToken(0, false);
                x.buffer().put(row * width, qkv[slice[0]], t * width, width);
                rotation.buffer().put(row * shape.headSize(), angles[slice[0]], t * shape.headSize(), shape.headSize());
                row++;
            }
        }
        Activation y = ops.activation(16, shape.queryWidth());
        for (int layer = 0; layer < 2; layer++) {
            // Layer 0 gets other contents than layer 1: rotated twice.
            ops.rotateAndStore(x, rotation, batch, shape, cache, 1 - layer);
        }
        for (int i = 0; i < row; i++) {
            // The cache of layer 1 was written after one rotation; queries must match it.
            int from = slices[0][2] > i ? slices[0][0] : slices[1][0];
            int token = slices[0][2] > i ? slices[0][1] + i : slices[1][1] + i - slices[0][2];
            x.buffer().put(i * width, rotated(shape, qkv[from], angles[from], token));
        }
        ops.attention(x, rotation, batch, shape, cache, 1, y);
        for (int i = 0; i < row; i++) {
            int from = slices[0][2] > i ? slices[0][0] : slices[1][0];
            int token = slices[0][2] > i ? slices[0][1] + i : slices[1][1] + i - slices[0][2];
            y.buffer().get(i * shape.queryWidth(), out[from], token * shape.queryWidth(), shape.queryWidth());
        }
        batch.close();
    }

    private static float[] rotated(AttentionShape shape, float[] qkv, float[] angles, int token) {
        int size = shape.headSize();
        float[] row = Arrays.copyOfRange(qkv, token * shape.qkvWidth(), (token + 1) * shape.qkvWidth());
        for (int h = 0; h < shape.heads() + shape.kvHeads(); h++) {
            for (int i = 0; i < size / 2; i++) {
                double a = row[h * size + i];
                double b = row[h * size + size / 2 + i];
                double cos = angles[token * size + i];
                double sin = angles[token * size + size / 2 + i];
                row[h * size + i] = (float) (a * cos - b * sin);
                row[h * size + size / 2 + i] = (float) (b * cos + a * sin);
            }
        }
        return row;
    }

    private static void checkAttention(AttentionShape shape, KvCacheType type, int length, float[] qkv, float[] angles, float[] out) {
        int size = shape.headSize();
        int group = shape.heads() / shape.kvHeads();
        for (int t = 0; t < length; t++) {
            float[] query = rotated(shape, qkv, angles, t);
            for (int h = 0; h < shape.heads(); h++) {
                double[] weights = new double[t + 1];
                double total = 0;
                for (int s = 0; s <= t; s++) {
                    float[] key = rotated(shape, qkv, angles, s);
                    double score = 0;
                    for (int i = 0; i < size; i++) {
                        score += query[h * size + i] * (double) kept(type, key[(shape.heads() + h / group) * size + i]);
                    }
                    weights[s] = Math.exp(score * shape.scale());
                    total += weights[s];
                }
                for (int i = 0; i < size; i++) {
                    double sum = 0;
                    for (int s = 0; s <= t; s++) {
                        int at = s * shape.qkvWidth() + (shape.heads() + shape.kvHeads() + h / group) * size + i;
                        sum += weights[s] / total * kept(type, qkv[at]);
                    }
                    assertEquals(sum, out[t * shape.queryWidth() + h * size + i], 1e-5, type + " token " + t + " head " + h);
                }
            }
        }
    }

    private static float kept(KvCacheType type, float x) {
        return switch (type) {
            case F32 -> x;
            case F16 -> HalfFloats.f16ToFloat(HalfFloats.floatToF16(x));
            case BF16 -> HalfFloats.bf16ToFloat(HalfFloats.floatToBf16(x));
        };
    }
}
