package io.qwen4j.core.format.gguf;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A metadata value in the bytes of the file, decoded when asked for: the vocabulary's arrays have several hundred thousand strings that
 * most readers never look at, and copying a value to another file needs no decoding.
 *
 * <p>Immutable. The bytes were checked to be whole values when they were read.
 */
public final class GgufValue {
    private final GgufType type;
    private final @Nullable GgufType elementType;
    private final int count;
    private final byte[] bytes;
    private final int offset;
    private final int length;

    private GgufValue(GgufType type, @Nullable GgufType elementType, int count, byte[] bytes, int offset, int length) {
        this.type = type;
        this.elementType = elementType;
        this.count = count;
        this.bytes = bytes;
        this.offset = offset;
        this.length = length;
    }

    /** A value that is no array, in bytes of a file. */
    static GgufValue scalar(GgufType type, byte[] bytes, int offset, int length) {
        return new GgufValue(type, null, 1, bytes, offset, length);
    }

    /** An array in bytes of a file, from its first element on. */
    static GgufValue array(GgufType elementType, int count, byte[] bytes, int offset, int length) {
        return new GgufValue(GgufType.ARRAY, elementType, count, bytes, offset, length);
    }

    /** An unsigned 32-bit integer. */
    public static GgufValue of(int unsigned) {
        return scalar(GgufType.UINT32, little(4).putInt(unsigned).array(), 0, 4);
    }

    /** A single-precision number. */
    public static GgufValue of(float value) {
        return scalar(GgufType.FLOAT32, little(4).putFloat(value).array(), 0, 4);
    }

    /** A boolean. */
    public static GgufValue of(boolean value) {
        return scalar(GgufType.BOOL, new byte[] {(byte) (value ? 1 : 0)}, 0, 1);
    }

    /** A string. */
    public static GgufValue of(String value) {
        byte[] text = value.getBytes(StandardCharsets.UTF_8);
        return scalar(GgufType.STRING, little(8 + text.length).putLong(text.length).put(text).array(), 0, 8 + text.length);
    }

    /** An array of strings. */
    public static GgufValue of(List<String> values) {
        var out = new java.io.ByteArrayOutputStream();
        for (String value : values) {
            GgufValue one = of(value);
            out.write(one.bytes, 0, one.length);
        }
        return array(GgufType.STRING, values.size(), out.toByteArray(), 0, out.size());
    }

    /** An array of signed 32-bit integers. */
    public static GgufValue of(int[] values) {
        ByteBuffer out = little(4 * values.length);
        for (int value : values) {
            out.putInt(value);
        }
        return array(GgufType.INT32, values.length, out.array(), 0, out.capacity());
    }

    private static ByteBuffer little(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** The type. */
    public GgufType type() {
        return type;
    }

    /** The type of an array's elements, null if it is no array. */
    public @Nullable GgufType elementType() {
        return elementType;
    }

    /** Number of elements; 1 if it is no array. */
    public int count() {
        return count;
    }

    /** The encoded value or elements, without type and count. */
    ByteBuffer content() {
        return ByteBuffer.wrap(bytes, offset, length).slice().asReadOnlyBuffer().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** The elements as integers; the elements must be integers. Unsigned 64-bit numbers beyond 2^63 are negative. */
    long[] integers() {
        GgufType each = each();
        ByteBuffer in = content();
        long[] values = new long[count];
        for (int i = 0; i < count; i++) {
            values[i] = switch (each) {
                case UINT8, BOOL -> in.get() & 0xff;
                case INT8 -> in.get();
                case UINT16 -> in.getShort() & 0xffff;
                case INT16 -> in.getShort();
                case UINT32 -> in.getInt() & 0xffffffffL;
                case INT32 -> in.getInt();
                case UINT64, INT64 -> in.getLong();
                default -> throw new IllegalStateException(each + " is no integer");
            };
        }
        return values;
    }

    /** The elements as numbers; the elements must be floating point. */
    double[] numbers() {
        GgufType each = each();
        ByteBuffer in = content();
        double[] values = new double[count];
        for (int i = 0; i < count; i++) {
            values[i] = switch (each) {
                case FLOAT32 -> in.getFloat();
                case FLOAT64 -> in.getDouble();
                default -> throw new IllegalStateException(each + " is no floating-point number");
            };
        }
        return values;
    }

    /** The first elements as strings; the elements must be strings. Bytes that are not UTF-8 become U+FFFD. */
    List<String> strings(int most) {
        int n = Math.min(count, most);
        List<String> values = new ArrayList<>(n);
        ByteBuffer in = content();
        for (int i = 0; i < n; i++) {
            int size = (int) in.getLong();
            values.add(new String(bytes, offset + in.position(), size, StandardCharsets.UTF_8));
            in.position(in.position() + size);
        }
        return values;
    }

    /** The elements as bytes of the file; the elements must be strings. */
    GgufStrings stringBytes() {
        return new GgufStrings(bytes, offset, count);
    }

    private GgufType each() {
        return elementType == null ? type : elementType;
    }

    /** The value for people: arrays with their first elements, strings with their first thousand characters. */
    String text() {
        if (elementType == null) {
            return element(0);
        }
        var text = new StringBuilder("[");
        for (int i = 0; i < Math.min(count, 8); i++) {
            text.append(i == 0 ? "" : ", ").append(element(i));
        }
        return text.append(count > 8 ? ", ... " + count + " in all]" : "]").toString();
    }

    private String element(int i) {
        return switch (each()) {
            case STRING -> shortened(strings(i + 1).get(i));
            case FLOAT32 -> Float.toString((float) slice(i, 4).numbers()[0]);
            case FLOAT64 -> Double.toString(slice(i, 8).numbers()[0]);
            case BOOL -> slice(i, 1).integers()[0] == 1 ? "true" : "false";
            case UINT64 -> Long.toUnsignedString(slice(i, 8).integers()[0]);
            default -> Long.toString(slice(i, each().leastBytes()).integers()[0]);
        };
    }

    private GgufValue slice(int i, int size) {
        return scalar(each(), bytes, offset + i * size, size);
    }

    private static String shortened(String text) {
        return text.length() > 1000 ? text.substring(0, 1000) + "..." : text;
    }
}
