package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads the keys and values of a GGUF header. */
final class GgufMetadataReader {
    /** Published files have about 40. */
    private static final int MAX_KEYS = 1 << 18;
    /** The format's bound. */
    private static final int MAX_KEY_BYTES = 65535;
    /** Key length, type and a one-byte value. */
    private static final int LEAST_BYTES = 13;

    private final GgufHeaderReader in;

    GgufMetadataReader(GgufHeaderReader in) {
        this.in = in;
    }

    Map<String, GgufValue> read(long keys) {
        long possible = Math.min(MAX_KEYS, in.left() / LEAST_BYTES);
        if (keys < 0 || keys > possible) {
            throw in.error(
                    Reason.LIMIT,
                    Long.toUnsignedString(keys) + " metadata keys are declared, at most " + possible + " are possible here");
        }
        Map<String, GgufValue> values = new LinkedHashMap<>();
        for (long i = 0; i < keys; i++) {
            String key = key();
            if (values.put(key, value(key)) != null) {
                throw in.error(Reason.DUPLICATE, "the metadata key " + key + " occurs twice");
            }
        }
        return values;
    }

    private String key() {
        long length = in.u64("the length of a metadata key");
        if (length <= 0 || length > MAX_KEY_BYTES) {
            throw in.error(
                    Reason.CORRUPT,
                    "a metadata key of " + Long.toUnsignedString(length) + " bytes, expected 1 to " + MAX_KEY_BYTES);
        }
        return in.string(length, "a metadata key");
    }

    private GgufValue value(String key) {
        GgufType type = type(key, in.u32("the type of ", key));
        if (type == GgufType.ARRAY) {
            return array(key);
        }
        int start = in.position();
        skip(key, type);
        return GgufValue.scalar(type, in.head(), start, in.position() - start);
    }

    private GgufValue array(String key) {
        GgufType each = type(key, in.u32("the element type of " + key));
        if (each == GgufType.ARRAY) {
            throw in.error(Reason.UNSUPPORTED, "the metadata key " + key + " is an array of arrays");
        }
        long count = in.u64("the length of " + key);
        long possible = Math.min(in.left() / each.leastBytes(), Integer.MAX_VALUE);
        if (count < 0 || count > possible) {
            throw in.error(
                    Reason.LIMIT,
                    "the array " + key + " declares " + Long.toUnsignedString(count) + " elements, at most " + possible
                            + " are possible here");
        }
        int start = in.position();
        if (each == GgufType.STRING) {
            in.skipStrings(count, key);
        } else if (each == GgufType.BOOL) {
            for (long i = 0; i < count; i++) {
                skip(key, each);
            }
        } else {
            in.skip(count * each.leastBytes(), key);
        }
        return GgufValue.array(each, (int) count, in.head(), start, in.position() - start);
    }

    private void skip(String key, GgufType type) {
        switch (type) {
            case STRING -> in.skip(in.u64("the length of " + key), key);
            case BOOL -> {
                int value = in.u8(key);
                if (value > 1) {
                    throw in.error(Reason.CORRUPT, "the metadata key " + key + " is the boolean " + value + ", expected 0 or 1");
                }
            }
            default -> in.skip(type.leastBytes(), key);
        }
    }

    private GgufType type(String key, int number) {
        @Nullable GgufType type = GgufType.of(number);
        if (type == null) {
            throw in.error(
                    Reason.CORRUPT,
                    "the metadata key " + key + " has type " + Integer.toUnsignedString(number) + ", expected 0 to "
                            + (GgufType.values().length - 1));
        }
        return type;
    }
}
