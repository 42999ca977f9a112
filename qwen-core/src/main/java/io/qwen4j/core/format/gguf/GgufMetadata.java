package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelFileException;
import io.qwen4j.core.format.FormatError;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The metadata of a GGUF file. Accessors check the type; a key that is absent is {@link Reason#CONFIG}, one of another type
 * {@link Reason#CORRUPT}. Immutable.
 */
public final class GgufMetadata {
    private final Path file;
    private final Map<String, GgufValue> values;

    GgufMetadata(Path file, Map<String, GgufValue> values) {
        this.file = file;
        this.values = values;
    }

    /** The file, for messages. */
    public Path file() {
        return file;
    }

    /** The keys, in the file's order. */
    public Set<String> keys() {
        return Collections.unmodifiableSet(values.keySet());
    }

    /** Whether there is such a key. */
    public boolean has(String key) {
        return values.containsKey(key);
    }

    /** The value of a key that is there. */
    public GgufValue value(String key) {
        GgufValue value = values.get(key);
        if (value == null) {
            throw FormatError.of(Reason.CONFIG, file, "the metadata key " + key + " is missing");
        }
        return value;
    }

    /** A string. */
    public String string(String key) {
        return typed(key, null, GgufType.STRING).strings(1).get(0);
    }

    /** A string, or what to take if there is none. */
    public String string(String key, String absent) {
        return has(key) ? string(key) : absent;
    }

    /** A boolean. */
    public boolean bool(String key) {
        return typed(key, null, GgufType.BOOL).integers()[0] == 1;
    }

    /** An integer of any width that is not negative and below 2^63. */
    public long unsigned(String key) {
        GgufValue value = value(key);
        if (!value.type().isInteger()) {
            throw wrongType(key, "an unsigned integer", value);
        }
        long number = value.integers()[0];
        if (number < 0) {
            throw FormatError.of(Reason.CORRUPT, file, key + " is " + value.text() + ", expected 0 to 2^63 - 1");
        }
        return number;
    }

    /** An integer in a range; outside is {@link Reason#CONFIG}. */
    public int integer(String key, int least, int most) {
        GgufValue value = value(key);
        if (!value.type().isInteger()) {
            throw wrongType(key, "an integer", value);
        }
        long number = value.integers()[0];
        if (number < least || number > most) {
            throw FormatError.of(Reason.CONFIG, file, key + " is " + value.text() + ", expected " + least + " to " + most);
        }
        return (int) number;
    }

    /** A floating-point number. */
    public double number(String key) {
        GgufValue value = value(key);
        if (value.type() != GgufType.FLOAT32 && value.type() != GgufType.FLOAT64) {
            throw wrongType(key, "a floating-point number", value);
        }
        return value.numbers()[0];
    }

    /** A floating-point number, or what to take if there is none. */
    public double number(String key, double absent) {
        return has(key) ? number(key) : absent;
    }

    /** An array of strings; bytes that are not UTF-8 become U+FFFD. */
    public List<String> strings(String key) {
        return typed(key, GgufType.STRING, GgufType.ARRAY).strings(Integer.MAX_VALUE);
    }

    /** An array of strings, as bytes. */
    public GgufStrings stringBytes(String key) {
        return typed(key, GgufType.STRING, GgufType.ARRAY).stringBytes();
    }

    /** Checks that a key is an array of strings, without decoding them. */
    void checkStrings(String key) {
        typed(key, GgufType.STRING, GgufType.ARRAY);
    }

    /** An array of 32-bit integers. */
    public int[] ints(String key) {
        GgufValue value = typed(key, GgufType.INT32, GgufType.ARRAY);
        int[] values = new int[value.count()];
        value.content().asIntBuffer().get(values);
        return values;
    }

    /** An array of single-precision numbers. */
    public float[] floats(String key) {
        double[] wide = typed(key, GgufType.FLOAT32, GgufType.ARRAY).numbers();
        float[] values = new float[wide.length];
        for (int i = 0; i < wide.length; i++) {
            values[i] = (float) wide[i];
        }
        return values;
    }

    private GgufValue typed(String key, @Nullable GgufType elementType, GgufType type) {
        GgufValue value = value(key);
        if (value.type() != type || value.elementType() != elementType) {
            throw wrongType(key, elementType == null ? type.name() : "an array of " + elementType, value);
        }
        return value;
    }

    private ModelFileException wrongType(String key, String expected, GgufValue found) {
        String name = found.elementType() == null ? found.type().name() : "an array of " + found.elementType();
        return FormatError.of(Reason.CORRUPT, file, "the metadata key " + key + " must be " + expected + ", found " + name);
    }
}
