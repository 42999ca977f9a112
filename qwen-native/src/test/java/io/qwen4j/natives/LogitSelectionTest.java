package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.InstructionSet;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What is selected of rows of logits, against a sort of the whole row, on every backend. */
@NeedsNative
class LogitSelectionTest {
    private static final long SEED = 31;
    /** Rows and ids; parts of a row that a kernel takes end at 2048. */
    private static final int[][] SHAPES = {{1, 1}, {3, 2}, {2, 33}, {8, 300}, {1, 2048}, {2, 4097}, {1, 151_936}};
    private static final int[] COUNTS = {1, 3, 20, 64, LogitSelection.MOST_CANDIDATES};

    private static float logit(int kind, Random random) {
        float value = (float) random.nextGaussian();
        return switch (kind) {
            case 1 -> Math.round(value * 2);
            case 2 -> Float.NEGATIVE_INFINITY;
            case 3 -> random.nextBoolean() ? 0f : -0f;
            case 4 -> random.nextInt(40) == 0 ? value : Float.NEGATIVE_INFINITY;
            case 5 -> value * 1e37f;
            default -> value;
        };
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void findsWhatASortFinds(InstructionSet set) {
        try (Ops java = Instances.java();
                Ops ops = Instances.cpu(set, 1)) {
            assertEquals(Instances.CUDA, ops.selectsLogits());
            for (int[] shape : SHAPES) {
                for (int kind = 0; kind < 6; kind++) {
                    Random random = new Random(SEED + kind);
                    float[] rows = new float[shape[0] * shape[1]];
                    for (int i = 0; i < rows.length; i++) {
                        rows[i] = logit(kind, random);
                    }
                    for (Ops tested : new Ops[] {java, ops}) {
                        check(tested, shape[0], shape[1], rows, new Random(kind), tested.description() + " " + Arrays.toString(shape) + " " + kind);
                    }
                }
            }
        }
    }

    private static void check(Ops ops, int rows, int columns, float[] values, Random random, String what) {
        int sampleable = 1 + columns - 1 - random.nextInt(Math.min(columns, 20));
        boolean[][] apart = new boolean[rows][columns];
        float temperature = random.nextInt(3) / 2f;
        try (Activation logits = activation(ops, rows, columns, values);
                LogitSelection selection = new LogitSelection(ops, rows + 2, rows * columns, columns, sampleable)) {
            // Twice: nothing stays of what was asked before.
            for (int count : new int[] {COUNTS[random.nextInt(COUNTS.length)], COUNTS[random.nextInt(COUNTS.length)]}) {
                selection.begin();
                assertTrue(selection.isEmpty());
                int share = 1 + random.nextInt(50);
                for (int r = rows == 1 ? 0 : 1; r < rows; r++) {
                    selection.add(r, count, temperature);
                    for (int id = 0; id < columns; id++) {
                        apart[r][id] = random.nextInt(share) == 1;
                        assertTrue(!apart[r][id] || selection.setApart(id));
                    }
                }
                ops.selectLogits(logits, selection);
                assertSameBits(values, read(logits), what + ": the logits");
                for (int r = 0; r < rows; r++) {
                    assertEquals(rows == 1 || r > 0, selection.has(r), what);
                    if (selection.has(r)) {
                        checkRow(selection, r, Arrays.copyOfRange(values, r * columns, (r + 1) * columns), apart[r], sampleable, count, temperature, what);
                    }
                }
            }
        }
    }

    private static void checkRow(LogitSelection selection, int r, float[] row, boolean[] apart, int sampleable, int count, float temperature, String what) {
        int next = 0;
        long[] order = new long[sampleable];
        int size = 0;
        for (int id = 0; id < row.length; id++) {
            if (apart[id]) {
                assertEquals(id, selection.apartId(r, next), what);
                assertEquals(Float.floatToRawIntBits(row[id]), Float.floatToRawIntBits(selection.apartLogit(r, next++)), what + ", apart " + id);
            } else if (id < sampleable && row[id] > Float.NEGATIVE_INFINITY) {
                // The greater logit first, then the lower id.
                int bits = Float.floatToIntBits(row[id] + 0f);
                order[size++] = (long) (bits ^ (~(bits >> 31) & Integer.MAX_VALUE)) + (1L << 31) << 32 | id;
            }
        }
        assertEquals(next, selection.apart(r), what);
        assertEquals(-1, selection.refused(r), what);
        Arrays.sort(order, 0, size);
        assertEquals(Math.min(size, count), selection.size(r), what);
        for (int i = 0; i < selection.size(r); i++) {
            assertEquals((int) order[i], selection.id(r, i), what + ", candidate " + i);
            assertEquals(Float.floatToRawIntBits(row[(int) order[i]]), Float.floatToRawIntBits(selection.logit(r, i)), what + ", candidate " + i);
        }
        double sum = 0;
        for (int i = 0; i < size && temperature > 0; i++) {
            sum += Math.exp(((double) row[(int) order[i]] - row[(int) order[0]]) / temperature);
        }
        assertEquals(sum, selection.sum(r), sum * 4e-11, what + ", sum");
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void namesTheFirstThatIsNoNumber(InstructionSet set) {
        Random random = new Random(SEED);
        int columns = 2100;
        try (Ops ops = Instances.cpu(set, 1);
                Activation logits = ops.activation(2, columns);
                LogitSelection selection = new LogitSelection(ops, 2, 1, columns, columns - 9)) {
            float[] good = values(2 * columns, random);
            for (int bad : new int[] {0, 1, 2047, 2048, columns - 9, columns - 1}) {
                for (float value : new float[] {Float.NaN, Float.intBitsToFloat(0xFFC00001), Float.POSITIVE_INFINITY}) {
                    logits.buffer().put(0, good);
                    logits.buffer().put(columns + bad, value);
                    logits.buffer().put(columns + columns - 1, Float.NaN);
                    if (bad == columns - 1) {
                        logits.buffer().put(columns + bad, value);
                    }
                    for (boolean apart : new boolean[] {false, true}) {
                        selection.begin();
                        selection.add(0, 5, 1);
                        selection.add(1, 5, 1);
                        assertTrue(!apart || selection.setApart(bad));
                        ops.selectLogits(logits, selection);
                        assertEquals(-1, selection.refused(0));
                        assertEquals(bad, selection.refused(1));
                        assertEquals(value, selection.refusedLogit(1));
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("io.qwen4j.natives.Instances#instructionSets")
    void whatDoesNotFitIsRefused(InstructionSet set) {
        try (Ops ops = Instances.cpu(set, 1);
                Activation logits = ops.activation(2, 50);
                Activation narrow = ops.activation(2, 39);
                LogitSelection selection = new LogitSelection(ops, 3, 4, 50, 40)) {
            assertThrows(IllegalArgumentException.class, () -> new LogitSelection(ops, 1, 0, 50, 51));
            assertThrows(IllegalArgumentException.class, () -> new LogitSelection(ops, 1, 0, 1 << 25, 1));
            for (int[] wrong : new int[][] {{-1, 1}, {3, 1}, {0, 0}, {0, LogitSelection.MOST_CANDIDATES + 1}}) {
                assertThrows(IllegalArgumentException.class, () -> selection.add(wrong[0], wrong[1], 0));
            }
            assertThrows(IllegalArgumentException.class, () -> selection.add(0, 1, -1));
            selection.add(1, 2, 0);
            assertThrows(IllegalArgumentException.class, () -> selection.add(1, 1, 0));
            assertTrue(selection.setApart(3));
            selection.add(2, 2, 0);
            assertTrue(selection.setApart(1) && selection.setApart(2) && selection.setApart(4));
            assertFalse(selection.setApart(5), "there is room for four");
            assertThrows(IllegalArgumentException.class, () -> ops.selectLogits(logits, selection), "a third row of two");
            selection.removeLast();
            assertFalse(selection.has(2));
            ops.selectLogits(logits, selection);
            assertEquals(1, selection.apart(1));
            assertEquals(0, selection.id(1, 0));
            assertThrows(IllegalArgumentException.class, () -> ops.selectLogits(narrow, selection), "fewer ids than can be sampled");
            assertTrue(selection.setApart(3));
            assertThrows(IllegalArgumentException.class, () -> ops.selectLogits(logits, selection), "an id twice");
        }
    }
}
