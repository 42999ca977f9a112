package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.testing.BytesTensor;
import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class QuantizedSourceTest {
    private static final int ROWS = 301;
    private static final int COLUMNS = 512;

    private static float[] values() {
        Random random = new Random(9);
        float[] out = new float[ROWS * COLUMNS];
        for (int i = 0; i < out.length; i++) {
            out[i] = (float) random.nextGaussian() / 16;
        }
        return out;
    }

    @ParameterizedTest
    @EnumSource
    void anyReadGivesTheSameBytes(WeightType type) {
        BytesTensor source = BytesTensor.of("w", WeightType.BF16, ROWS, COLUMNS, values());
        byte[] expected = BytesTensor.of("w", type, ROWS, COLUMNS, source.values()).bytes();
        TensorSource converted = QuantizedSource.of(source, type, new ConversionBuffers());
        assertEquals("w", converted.name());
        assertEquals(type, converted.type());
        assertEquals(ROWS, converted.rows());
        assertEquals(COLUMNS, converted.columns());
        assertEquals(expected.length, converted.byteSize());

        byte[] whole = new byte[expected.length];
        converted.read(0, ByteBuffer.wrap(whole));
        assertArrayEquals(expected, whole);
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int i = 0; i < 20; i++) {
            int offset = random.nextInt(expected.length);
            int count = random.nextInt(expected.length - offset + 1);
            ByteBuffer target = i % 2 == 0 ? ByteBuffer.allocateDirect(count + 7) : ByteBuffer.allocate(count + 7);
            target.position(3).limit(count + 3);
            converted.read(offset, target);
            assertEquals(count + 3, target.position());
            byte[] part = new byte[count];
            target.position(3).get(part);
            assertArrayEquals(java.util.Arrays.copyOfRange(expected, offset, offset + count), part, "seed " + seed);
        }
        assertThrows(IndexOutOfBoundsException.class, () -> converted.read(expected.length - 1, ByteBuffer.allocate(2)));
        assertThrows(IndexOutOfBoundsException.class, () -> converted.read(-1, ByteBuffer.allocate(2)));
    }

    @Test
    void theSameTypeIsTheSourceAndAWiderOneIsExact() {
        BytesTensor source = BytesTensor.of("w", WeightType.Q4_K, 3, COLUMNS, java.util.Arrays.copyOf(values(), 3 * COLUMNS));
        assertSame(source, QuantizedSource.of(source, WeightType.Q4_K, new ConversionBuffers()));
        byte[] bytes = new byte[3 * COLUMNS * 4];
        QuantizedSource.of(source, WeightType.F32, new ConversionBuffers()).read(0, ByteBuffer.wrap(bytes));
        assertArrayEquals(source.values(), new BytesTensor("x", WeightType.F32, 3, COLUMNS, bytes).values());
    }

    @Test
    void whatIsNotFiniteIsRefused() {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            float[] values = values();
            values[200 * COLUMNS + 17] = bad;
            BytesTensor source = BytesTensor.of("w", WeightType.F32, ROWS, COLUMNS, values);
            TensorSource converted = QuantizedSource.of(source, WeightType.Q8_0, new ConversionBuffers());
            ModelFileException e = assertThrows(ModelFileException.class,
                    () -> converted.read(0, ByteBuffer.allocate((int) converted.byteSize())));
            assertEquals(Reason.VALUE, e.reason());
            assertTrue(e.getMessage().contains("w: value [200, 17] is " + bad), e.getMessage());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "Q4_K, 896, Q5_0", "Q5_K, 896, Q5_1", "Q6_K, 896, Q8_0", "Q2_K, 896, IQ4_NL", "Q3_K, 29568, IQ4_NL", "IQ4_XS, 1408, IQ4_NL",
        "Q4_K, 4864, Q4_K", "Q4_0, 896, Q4_0", "Q4_0, 48, F16", "Q6_K, 48, F16", "Q8_0, 33, F16", "BF16, 33, BF16", "F32, 33, F32"
    })
    void rowsThatAreNoWholeBlocksGetAnotherType(WeightType wanted, int columns, WeightType expected) {
        assertEquals(expected, QuantizationPlan.fitting(wanted, columns));
    }

    @ParameterizedTest
    @CsvSource({
        "Q2_K, Q6_K", "Q3_K, Q6_K", "Q4_K, Q6_K", "Q5_K, Q6_K", "Q4_0, Q6_K", "Q4_1, Q6_K", "Q5_0, Q6_K", "Q5_1, Q6_K", "IQ4_NL, Q6_K",
        "IQ4_XS, Q6_K", "Q6_K, Q6_K", "Q8_0, Q8_0", "BF16, BF16", "F16, F16", "F32, F32"
    })
    void theOutputLayerKeepsSixBits(WeightType wanted, WeightType head) {
        QwenConfig tied = QwenDecoderTest.small(true, 1);
        QwenConfig untied = QwenDecoderTest.small(false, 1);
        QwenTensors.Expected embedding = matrix(QwenTensors.EMBEDDING, 512);
        QwenTensors.Expected output = matrix(QwenTensors.HEAD, 512);
        assertEquals(head, QuantizationPlan.typeOf(tied, embedding, wanted));
        assertEquals(wanted, QuantizationPlan.typeOf(untied, embedding, wanted));
        assertEquals(head, QuantizationPlan.typeOf(untied, output, wanted));
        QwenTensors.Expected narrow = matrix(QwenTensors.HEAD, 896);
        assertEquals(head == WeightType.Q6_K ? WeightType.Q8_0 : wanted, QuantizationPlan.typeOf(untied, narrow, wanted));
        assertEquals(WeightType.F32, QuantizationPlan.typeOf(tied, matrix(QwenTensors.layer(0, QwenTensors.ROUTER), 512), wanted));
    }

    private static QwenTensors.Expected matrix(String name, long columns) {
        return new QwenTensors.Expected(name, QwenTensors.Kind.MATRIX, 1, 1, columns);
    }
}
