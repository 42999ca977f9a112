package io.qwen4j.core.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.KvCacheType;
import io.qwen4j.WeightType;
import io.qwen4j.core.quant.HalfFloats;
import io.qwen4j.core.testing.BytesTensor;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class JavaAttentionTest {
    private static final Random RANDOM = new Random(6);
    private static final int PAGE = 4;

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
        KvLayout layout = new KvLayout(type, 2, 8, PAGE, kvHeads, size);
        AttentionShape shape = new AttentionShape(heads, kvHeads, size, 0.25f, 0, layout.keysCentred());
        int width = shape.qkvWidth();
        int[] lengths = {7, 3};
        try (Ops ops = new JavaOps(new OpsOptions(2, null))) {
            KvCache cache = ops.kvCache(layout);
            float[] bias = random(width);
            float[][] qkv = {random(lengths[0] * width), random(lengths[1] * width)};
            float[][] angles = {random(lengths[0] * shape.rotationWidth()), random(lengths[1] * shape.rotationWidth())};
            int[][] tables = {{5, 2}, {7}};
            float[][] out = new float[2][];
            out[0] = new float[lengths[0] * shape.queryWidth()];
            out[1] = new float[lengths[1] * shape.queryWidth()];
            // First 4 tokens of the first sequence, then its last 3 together with the second sequence.
            runSlices(ops, shape, cache, bias, qkv, angles, tables, out, new int[][] {{0, 0, 4}});
            runSlices(ops, shape, cache, bias, qkv, angles, tables, out, new int[][] {{1, 0, 3}, {0, 4, 3}});
            for (int b = 0; b < 2; b++) {
                checkAttention(shape, type, lengths[b], bias, qkv[b], angles[b], out[b]);
            }
        }
    }

    /** Each slice is {sequence, first token, count}. */
    private static void runSlices(
            Ops ops, AttentionShape shape, KvCache cache, float[] bias, float[][] qkv, float[][] angles, int[][] tables, float[][] out,
            int[][] slices) {
        int width = shape.qkvWidth();
        int turns = shape.rotationWidth();
        Weight added = ops.vector(List.of(BytesTensor.of("bias", WeightType.F32, 1, width, bias)));
        Batch batch = new Batch(ops, 16, 2, 2, PAGE);
        Activation x = ops.activation(16, width);
        Activation rotation = ops.activation(16, turns);
        int row = 0;
        for (int[] slice : slices) {
            batch.beginSequence(slice[1], tables[slice[0]], tables[slice[0]].length);
            for (int t = slice[1]; t < slice[1] + slice[2]; t++) {
                batch.addToken(0, false);
                x.buffer().put(row * width, qkv[slice[0]], t * width, width);
                rotation.buffer().put(row * turns, angles[slice[0]], t * turns, turns);
                row++;
            }
        }
        Activation y = ops.activation(16, shape.queryWidth());
        for (int layer = 0; layer < 2; layer++) {
            // Layer 0 gets other contents than layer 1: rotated twice.
            ops.rotateAndStore(x, added, rotation, batch, shape, cache, 1 - layer);
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
            rotate(row, h * size, size, angles, token * shape.rotationWidth());
        }
        return row;
    }

    private static void rotate(float[] x, int at, int size, float[] angles, int angle) {
        for (int i = 0; i < size / 2; i++) {
            double a = x[at + i];
            double b = x[at + size / 2 + i];
            double cos = angles[angle + i];
            double sin = angles[angle + size / 2 + i];
            x[at + i] = (float) (a * cos - b * sin);
            x[at + size / 2 + i] = (float) (b * cos + a * sin);
        }
    }

    /** The centre of a head's keys in the page of a token: the bias, rotated for the first token of the page, in half precision. */
    private static float[] centre(AttentionShape shape, float[] bias, float[] angles, int token, int kvHead) {
        int size = shape.headSize();
        int at = (shape.heads() + kvHead) * size;
        float[] centre = Arrays.copyOfRange(bias, at, at + size);
        if (!shape.keysCentred()) {
            return centre;
        }
        rotate(centre, 0, size, angles, token / PAGE * PAGE * shape.rotationWidth() + shape.centreAt());
        for (int i = 0; i < size; i++) {
            centre[i] = HalfFloats.f16ToFloat(HalfFloats.floatToF16(centre[i]));
        }
        return centre;
    }

    private static void checkAttention(
            AttentionShape shape, KvCacheType type, int length, float[] bias, float[] qkv, float[] angles, float[] out) {
        int size = shape.headSize();
        int group = shape.heads() / shape.kvHeads();
        for (int t = 0; t < length; t++) {
            float[] query = rotated(shape, qkv, angles, t);
            for (int h = 0; h < shape.heads(); h++) {
                double[] weights = new double[t + 1];
                double total = 0;
                for (int s = 0; s <= t; s++) {
                    int keyAt = (shape.heads() + h / group) * size;
                    float[] key = Arrays.copyOfRange(rotated(shape, qkv, angles, s), keyAt, keyAt + size);
                    double[] kept = kept(type, key, centre(shape, bias, angles, s, h / group));
                    double score = 0;
                    for (int i = 0; i < size; i++) {
                        score += query[h * size + i] * kept[i];
                    }
                    weights[s] = Math.exp(score * shape.scale());
                    total += weights[s];
                }
                double[] sums = new double[size];
                for (int s = 0; s <= t; s++) {
                    int at = s * shape.qkvWidth() + (shape.heads() + shape.kvHeads() + h / group) * size;
                    double[] kept = kept(type, Arrays.copyOfRange(qkv, at, at + size), new float[size]);
                    for (int i = 0; i < size; i++) {
                        sums[i] += weights[s] / total * kept[i];
                    }
                }
                for (int i = 0; i < size; i++) {
                    assertEquals(sums[i], out[t * shape.queryWidth() + h * size + i], 1e-5, type + " token " + t + " head " + h);
                }
            }
        }
    }

    /** What the cache keeps of a row; with 8 bits less a centre. */
    private static double[] kept(KvCacheType type, float[] row, float[] centre) {
        double largest = 0;
        for (int i = 0; i < row.length; i++) {
            largest = Math.max(largest, Math.abs(row[i] - centre[i]));
        }
        double[] kept = new double[row.length];
        for (int i = 0; i < row.length; i++) {
            kept[i] = switch (type) {
                case F32 -> row[i];
                case F16 -> HalfFloats.f16ToFloat(HalfFloats.floatToF16(row[i]));
                case BF16 -> HalfFloats.bf16ToFloat(HalfFloats.floatToBf16(row[i]));
                case INT8 -> centre[i] + Math.rint((row[i] - centre[i]) * 127 / largest) * largest / 127;
            };
        }
        return kept;
    }

    private static float[] attend(Ops ops, float[] row, int tokens) {
        KvLayout layout = new KvLayout(KvCacheType.INT8, 1, 2, PAGE, 1, 16);
        AttentionShape shape = new AttentionShape(1, 1, 16, 0.25f, 0, true);
        float[] out = new float[tokens * 16];
        try (KvCache cache = ops.kvCache(layout);
                Batch batch = new Batch(ops, 1, 1, 2, PAGE);
                Activation qkv = ops.activation(1, 48);
                Activation rotation = ops.activation(1, 32);
                Activation y = ops.activation(1, 16)) {
            for (int t = 0; t < tokens; t++) {
                batch.clear();
                batch.beginSequence(t, new int[] {1, 0}, 2);
                batch.addToken(0, false);
                for (int i = 0; i < 48; i++) {
                    qkv.buffer().put(i, t == 2 ? row[i] : i);
                }
                for (int i = 0; i < 32; i++) {
                    rotation.buffer().put(i, i % 16 < 8 ? 1 : 0);
                }
                ops.rotateAndStore(qkv, null, rotation, batch, shape, cache, 0);
                ops.attention(qkv, rotation, batch, shape, cache, 0, y);
                y.buffer().get(0, out, t * 16, 16);
            }
        }
        return out;
    }

    /** Zeros and the smallest numbers are kept as zeros; what is not finite is noticed from its token on. */
    @Test
    void rowsOf8BitsAtTheBoundaries() {
        try (Ops ops = new JavaOps(new OpsOptions(1, null))) {
            float[] smallest = new float[48];
            Arrays.fill(smallest, 1e-36f);
            // A query of zeros sees three keys alike; the values of the other two go to 47, the first is 32.
            double expected = Math.rint(32 * 127 / 47.0) * 47 / 127 * 2 / 3;
            assertEquals(expected, attend(ops, new float[48], 4)[2 * 16], 1e-5);
            assertEquals(expected, attend(ops, smallest, 4)[2 * 16], 1e-5);
            for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
                for (int at : new int[] {16 + 5, 32 + 15}) {
                    float[] row = new float[48];
                    row[at] = bad;
                    float[] found = attend(ops, row, 4);
                    for (int t = 0; t < 4; t++) {
                        assertEquals(t >= 2, Float.isNaN(found[t * 16]), bad + " at " + at + ", token " + t);
                    }
                }
            }
        }
    }
}
