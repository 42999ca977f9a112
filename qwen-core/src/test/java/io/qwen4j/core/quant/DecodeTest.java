package io.qwen4j.core.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.qwen4j.WeightType;
import io.qwen4j.core.testing.GoldenFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

class DecodeTest {
    private static final Path GOLDEN = GoldenFiles.resource("golden/quant-blocks.safetensors");

    static List<WeightType> quantized() {
        List<WeightType> out = new ArrayList<>(List.of(WeightType.values()));
        out.removeIf(type -> !type.isQuantized() || !type.isGguf());
        return out;
    }

    @ParameterizedTest
    @MethodSource("quantized")
    void equalsGoldenBitForBit(WeightType type) {
        byte[] blocks = GoldenFiles.unsignedBytes(GOLDEN, type.name() + ".blocks");
        float[] expected = GoldenFiles.floats(GOLDEN, type.name() + ".values");
        assertEquals(12, quantized().size());
        assertEquals(expected.length / type.blockSize() * type.blockBytes(), blocks.length);

        float[] actual = new float[expected.length + 3];
        byte[] shifted = new byte[blocks.length + 5];
        System.arraycopy(blocks, 0, shifted, 5, blocks.length);
        BlockCodec.of(type).decode(shifted, 5, actual, 3, expected.length);
        for (int i = 0; i < expected.length; i++) {
            assertEquals(Float.floatToRawIntBits(expected[i]), Float.floatToRawIntBits(actual[i + 3]), "value " + i);
        }
    }

    /** {@code d (q - z)} in exact arithmetic, for random bytes. */
    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.MATCH_ALL, names = "INT.*")
    void groupsWithZeroPointsAreExact(WeightType type) {
        Random random = new Random(5);
        int count = 100;
        byte[] blocks = new byte[count * type.blockBytes()];
        random.nextBytes(blocks);
        float[] actual = new float[count * type.blockSize()];
        BlockCodec.of(type).decode(blocks, 0, actual, 0, actual.length);
        for (int i = 0; i < actual.length; i++) {
            int block = i / type.blockSize() * type.blockBytes();
            int e = i % type.blockSize();
            boolean fourBits = type.name().startsWith("INT4");
            int code = fourBits ? blocks[block + 3 + e / 32 * 16 + e % 16] >> (e % 32 < 16 ? 0 : 4) & 15 : blocks[block + 3 + e] & 255;
            double d = HalfFloats.f16ToFloat(blocks[block] & 255 | (blocks[block + 1] & 255) << 8);
            assertEquals((float) (d * (code - (blocks[block + 2] & 255))), actual[i], "value " + i);
        }
    }

    @ParameterizedTest
    @EnumSource
    void refusesWhatIsNoWholeBlockOrOutside(WeightType type) {
        BlockCodec codec = BlockCodec.of(type);
        int n = type.blockSize();
        byte[] blocks = new byte[type.blockBytes()];
        float[] values = new float[n];
        assertThrows(IllegalArgumentException.class, () -> codec.decode(blocks, 0, values, 0, -n));
        assertThrows(IndexOutOfBoundsException.class, () -> codec.decode(blocks, 1, values, 0, n));
        assertThrows(IndexOutOfBoundsException.class, () -> codec.decode(blocks, 0, values, 1, n));
        assertThrows(IndexOutOfBoundsException.class, () -> codec.encode(values, -1, blocks, 0, n));
        if (n > 1) {
            assertThrows(IllegalArgumentException.class, () -> codec.decode(blocks, 0, values, 0, n - 1));
        }
    }

    @Test
    void everyHalfIsExact() {
        for (int half = 0; half < 1 << 16; half++) {
            float value = HalfFloats.f16ToFloat(half);
            int exponent = half >> 10 & 31;
            int mantissa = half & 1023;
            double expected = exponent == 0 ? mantissa * 0x1p-24 : (1024 + mantissa) * Math.pow(2, exponent - 25);
            if (exponent == 31) {
                expected = mantissa == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
            }
            assertEquals(half < 0x8000 ? expected : -expected, value);
            if (Float.isNaN(value)) {
                assertEquals(Float.NaN, HalfFloats.f16ToFloat(HalfFloats.floatToF16(value)));
            } else {
                assertEquals(half, HalfFloats.floatToF16(value));
            }
        }
    }

    @Test
    void halvesRoundToNearestEven() {
        for (int half = 0; half < 0x7c00; half++) {
            float low = HalfFloats.f16ToFloat(half);
            float high = half == 0x7bff ? 65536 : HalfFloats.f16ToFloat(half + 1);
            float middle = (low + high) / 2;
            int even = half % 2 == 0 ? half : half + 1;
            assertEquals(even, HalfFloats.floatToF16(middle));
            assertEquals(half, HalfFloats.floatToF16(Math.nextDown(middle)));
            assertEquals(half + 1, HalfFloats.floatToF16(Math.nextUp(middle)));
            assertEquals(0x8000 | half, HalfFloats.floatToF16(-Math.nextDown(middle)));
        }
        assertEquals(0x7c00, HalfFloats.floatToF16(Float.MAX_VALUE));
        assertEquals(0xfc00, HalfFloats.floatToF16(Float.NEGATIVE_INFINITY));
        assertEquals(0x8000, HalfFloats.floatToF16(-Float.MIN_VALUE));
    }

    @Test
    void bfloatsRoundToNearestEven() {
        assertEquals(0x3f80, HalfFloats.floatToBf16(Float.intBitsToFloat(0x3f808000)));
        assertEquals(0x3f81, HalfFloats.floatToBf16(Float.intBitsToFloat(0x3f808001)));
        assertEquals(0x3f82, HalfFloats.floatToBf16(Float.intBitsToFloat(0x3f818000)));
        assertEquals(0x7f80, HalfFloats.floatToBf16(Float.MAX_VALUE));
        assertEquals(0xff80, HalfFloats.floatToBf16(Float.NEGATIVE_INFINITY));
        assertEquals(Float.NaN, HalfFloats.bf16ToFloat(HalfFloats.floatToBf16(Float.intBitsToFloat(0x7f800001))));
        assertEquals(Float.NaN, HalfFloats.bf16ToFloat(HalfFloats.floatToBf16(Float.intBitsToFloat(0xffffffff))));
    }
}
