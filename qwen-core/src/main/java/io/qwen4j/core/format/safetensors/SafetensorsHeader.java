package io.qwen4j.core.format.safetensors;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.Json;
import io.qwen4j.core.format.ModelFile;
import java.io.IOException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The JSON header of a safetensors file, read token by token so that a header of 100 MB takes no more memory than its tensors do.
 *
 * @param metadata the {@code __metadata__}
 * @param entries the tensors, not yet compared with the file's length
 */
record SafetensorsHeader(Map<String, String> metadata, Map<String, SafetensorsEntry> entries) {
    private static final String METADATA = "__metadata__";
    private static final int RANK = 8;

    static SafetensorsHeader read(ModelFile file, JsonParser parser, ModelLimits limits) throws IOException {
        Json.expect(file, parser, parser.nextToken(), JsonToken.START_OBJECT, "the header");
        Map<String, String> metadata = null;
        Map<String, SafetensorsEntry> entries = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String name = Json.name(file, parser);
            parser.nextToken();
            if (name.equals(METADATA)) {
                if (metadata != null) {
                    throw file.error(Reason.DUPLICATE, "the key \"" + METADATA + "\" occurs twice");
                }
                metadata = metadata(file, parser, limits);
                continue;
            }
            if (entries.size() == limits.tensors()) {
                throw file.error(Reason.LIMIT, "more than " + limits.tensors() + " tensors");
            }
            if (entries.containsKey(name)) {
                throw file.error(Reason.DUPLICATE, "the tensor \"" + name + "\" occurs twice");
            }
            entries.put(name, new EntryReader(file, parser, name).read());
        }
        return new SafetensorsHeader(metadata == null ? Map.of() : metadata, entries);
    }

    private static Map<String, String> metadata(ModelFile file, JsonParser parser, ModelLimits limits) throws IOException {
        Json.expect(file, parser, parser.currentToken(), JsonToken.START_OBJECT, METADATA);
        Map<String, String> metadata = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String key = Json.name(file, parser);
            Json.expect(file, parser, parser.nextToken(), JsonToken.VALUE_STRING, () -> METADATA + "." + key);
            if (metadata.size() == limits.tensors()) {
                throw file.error(Reason.LIMIT, METADATA + " has more than " + limits.tensors() + " keys");
            }
            if (metadata.put(key, parser.getText()) != null) {
                throw file.error(Reason.DUPLICATE, "the key \"" + key + "\" of " + METADATA + " occurs twice");
            }
        }
        return metadata;
    }

    /** Reads {@code {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}. */
    private static final class EntryReader {
        private final ModelFile file;
        private final JsonParser parser;
        private final String name;
        private @Nullable Dtype dtype;
        private @Nullable List<Long> shape;
        private @Nullable List<Long> offsets;

        EntryReader(ModelFile file, JsonParser parser, String name) {
            this.file = file;
            this.parser = parser;
            this.name = name;
        }

        SafetensorsEntry read() throws IOException {
            Json.expect(file, parser, parser.currentToken(), JsonToken.START_OBJECT, () -> "the tensor " + name);
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String field = Json.name(file, parser);
                parser.nextToken();
                switch (field) {
                    case "dtype" -> {
                        once(field, dtype);
                        dtype = dtype();
                    }
                    case "shape" -> {
                        once(field, shape);
                        shape = shape();
                    }
                    case "data_offsets" -> {
                        once(field, offsets);
                        offsets = offsets();
                    }
                    default -> parser.skipChildren();
                }
            }
            Dtype d = need("dtype", dtype);
            List<Long> s = need("shape", shape);
            List<Long> o = need("data_offsets", offsets);
            return new SafetensorsEntry(name, d.name(), s, bytes(d, s), o.get(0), o.get(1), d.weightType());
        }

        private Dtype dtype() throws IOException {
            Json.expect(file, parser, parser.currentToken(), JsonToken.VALUE_STRING, () -> item("dtype"));
            String text = parser.getText();
            return Dtype.of(text)
                    .orElseThrow(() -> file.error(
                            Reason.UNSUPPORTED,
                            item("dtype") + " is \"" + (text.length() > 40 ? text.substring(0, 40) : text)
                                    + "\"; known are " + Arrays.toString(Dtype.values()) + ", weights may be " + Dtype.runnable()));
        }

        private List<Long> shape() throws IOException {
            Json.expect(file, parser, parser.currentToken(), JsonToken.START_ARRAY, () -> item("shape"));
            List<Long> dimensions = new ArrayList<>(2);
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                BigInteger n = integer("shape");
                if (n.signum() < 0) {
                    throw file.error(Reason.SHAPE, item("shape") + " has the negative dimension " + n);
                }
                if (n.bitLength() > 63) {
                    throw file.error(Reason.OVERFLOW, item("shape") + " has the dimension " + n + ", which does not fit in 64 bits");
                }
                if (dimensions.size() == RANK) {
                    throw file.error(Reason.SHAPE, item("shape") + " has more than " + RANK + " dimensions");
                }
                dimensions.add(n.longValue());
            }
            return List.copyOf(dimensions);
        }

        private List<Long> offsets() throws IOException {
            Json.expect(file, parser, parser.currentToken(), JsonToken.START_ARRAY, () -> item("data_offsets"));
            List<Long> numbers = new ArrayList<>(2);
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                BigInteger n = integer("data_offsets");
                if (n.signum() < 0 || n.bitLength() > 63) {
                    throw file.error(Reason.CORRUPT, item("data_offsets") + " has " + n + ", which is no offset");
                }
                if (numbers.size() == 2) {
                    throw file.error(Reason.CORRUPT, item("data_offsets") + " has more than 2 numbers");
                }
                numbers.add(n.longValue());
            }
            if (numbers.size() != 2) {
                throw file.error(Reason.CORRUPT, item("data_offsets") + " must have 2 numbers, found " + numbers.size());
            }
            return numbers;
        }

        private BigInteger integer(String field) throws IOException {
            Json.expect(file, parser, parser.currentToken(), JsonToken.VALUE_NUMBER_INT, () -> "a number in " + item(field));
            return parser.getBigIntegerValue();
        }

        /** The product of all dimensions must fit even where one of them is 0. */
        private long bytes(Dtype d, List<Long> s) {
            long values = 1;
            try {
                for (long n : s) {
                    values = Math.multiplyExact(values, Math.max(1, n));
                }
                long bits = Math.multiplyExact(values, (long) d.bits());
                if (s.contains(0L)) {
                    return 0;
                }
                if (bits % 8 != 0) {
                    throw file.error(Reason.SHAPE, item("shape") + " " + s + " of " + d + " is no whole number of bytes");
                }
                return bits / 8;
            } catch (ArithmeticException e) {
                throw file.error(Reason.OVERFLOW, "the tensor " + name + " of shape " + s + " and type " + d + " does not fit in 64 bits");
            }
        }

        private void once(String field, @Nullable Object found) {
            if (found != null) {
                throw file.error(Reason.DUPLICATE, item(field) + " occurs twice");
            }
        }

        private <T> T need(String field, @Nullable T found) {
            if (found == null) {
                throw file.error(Reason.CORRUPT, item(field) + " is missing");
            }
            return found;
        }

        private String item(String field) {
            return field + " of the tensor " + name;
        }
    }
}
