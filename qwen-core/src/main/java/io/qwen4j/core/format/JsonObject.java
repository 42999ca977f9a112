package io.qwen4j.core.format;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Typed access to the fields of a JSON object. A field that is null counts as absent, as in Python.
 *
 * @param file where it is from, for messages
 * @param fields the fields
 */
public record JsonObject(Path file, Map<String, @Nullable Object> fields) {
    /** Reads a file. */
    public static JsonObject read(Path file, long maxBytes) {
        return new JsonObject(file, Json.readObject(file, maxBytes));
    }

    /** Whether there is a field that is not null. */
    public boolean has(String name) {
        return fields.get(name) != null;
    }

    /** An integer. */
    public long integer(String name) {
        Object value = need(name);
        if (value instanceof Long l) {
            return l;
        }
        if (value instanceof java.math.BigInteger) {
            throw error(Reason.CONFIG, name + " is " + value + ", which is out of range");
        }
        throw wrongType(name, "an integer", value);
    }

    /** An integer in a range; outside is {@link Reason#CONFIG}. */
    public int integer(String name, int least, int most) {
        long value = integer(name);
        if (value < least || value > most) {
            throw error(Reason.CONFIG, name + " is " + value + ", expected " + least + " to " + most);
        }
        return (int) value;
    }

    /** A number. */
    public double number(String name) {
        Object value = need(name);
        if (value instanceof Number n) {
            return n.doubleValue();
        }
        throw wrongType(name, "a number", value);
    }

    /** A number, or a default. */
    public double number(String name, double absent) {
        return has(name) ? number(name) : absent;
    }

    /** A boolean, or a default. */
    public boolean bool(String name, boolean absent) {
        if (!has(name)) {
            return absent;
        }
        Object value = need(name);
        if (value instanceof Boolean b) {
            return b;
        }
        throw wrongType(name, "a boolean", value);
    }

    /** A string. */
    public String string(String name) {
        Object value = need(name);
        if (value instanceof String s) {
            return s;
        }
        throw wrongType(name, "a string", value);
    }

    /** A string, or a default. */
    public String string(String name, String absent) {
        return has(name) ? string(name) : absent;
    }

    /** A list. */
    public List<?> list(String name) {
        Object value = need(name);
        if (value instanceof List<?> l) {
            return l;
        }
        throw wrongType(name, "a list", value);
    }

    /** An object. */
    @SuppressWarnings("unchecked") // the reader makes maps with string keys only
    public JsonObject object(String name) {
        Object value = need(name);
        if (value instanceof Map<?, ?> m) {
            return new JsonObject(file, (Map<String, @Nullable Object>) m);
        }
        throw wrongType(name, "an object", value);
    }

    private Object need(String name) {
        Object value = fields.get(name);
        if (value == null) {
            throw error(Reason.CONFIG, name + " is missing");
        }
        return value;
    }

    private ModelFileException wrongType(String name, String expected, Object found) {
        String text = String.valueOf(found);
        return error(
                Reason.UNSUPPORTED,
                name + " must be " + expected + ", found " + (text.length() > 80 ? text.substring(0, 80) + "..." : text));
    }

    /** An error in this file. */
    public ModelFileException error(Reason reason, String message) {
        return FormatError.of(reason, file, message);
    }
}
