package io.qwen4j.core.format;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import io.qwen4j.ModelFileException.Reason;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PushbackReader;
import java.io.Reader;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Strict JSON from model files: UTF-8 without a byte order mark, no key twice, bounded depth, names, strings and number of values.
 *
 * <p>Text is decoded by us and not by Jackson, which would guess UTF-16 and UTF-32 and accept overlong forms.
 */
public final class Json {
    /** Published configurations nest 4 deep. */
    private static final int DEPTH = 64;
    /** The longest tensor names have about 80 characters. */
    private static final int NAME_CHARACTERS = 4096;
    /** Chat templates in tokenizer_config.json have several thousand characters. */
    private static final int STRING_CHARACTERS = 4 << 20;
    /** Values of a tree, about 50 bytes each in memory; the index of the 72B model has about 1,000. */
    private static final int TREE_VALUES = 500_000;

    /** Python's writer leaves NaN and Infinity bare; they are read so that the check of the field can name it. */
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(DEPTH)
                    .maxNameLength(NAME_CHARACTERS)
                    .maxStringLength(STRING_CHARACTERS)
                    .maxNumberLength(1000)
                    .build())
            .build();

    private Json() {}

    /** Consumes the tokens of a text. */
    public interface Consumer<T> {
        /** Reads all of it; the parser stands before the first token. */
        T read(JsonParser parser) throws IOException;
    }

    /** Lets a consumer read the text in a range of a file; nothing but white space may follow what it reads. */
    public static <T> T read(ModelFile file, long from, long to, Consumer<T> consumer) {
        var decoder = StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT);
        try (Reader reader = withoutMark(file, new InputStreamReader(file.stream(from, to), decoder));
                JsonParser parser = FACTORY.createParser(reader)) {
            T result = consumer.read(parser);
            if (parser.nextToken() != null) {
                throw file.error(Reason.CORRUPT, "something follows the JSON value, at " + place(parser));
            }
            return result;
        } catch (StreamConstraintsException e) {
            throw FormatError.of(Reason.LIMIT, file.path(), "JSON beyond the limits: " + e.getOriginalMessage(), e);
        } catch (JsonProcessingException e) {
            throw FormatError.of(Reason.CORRUPT, file.path(), "not JSON: " + oneLine(e), e);
        } catch (CharacterCodingException e) {
            throw FormatError.of(Reason.CORRUPT, file.path(), "JSON must be UTF-8, found other bytes", e);
        } catch (IOException e) {
            throw FormatError.of(Reason.IO, file.path(), "reading failed: " + e, e);
        }
    }

    /** Reads a whole file as one object. */
    public static Map<String, @Nullable Object> readObject(Path path, long maxBytes) {
        return readObject(path, maxBytes, TREE_VALUES);
    }

    /** Reads a whole file as one object of at most so many values. */
    public static Map<String, @Nullable Object> readObject(Path path, long maxBytes, long maxValues) {
        try (ModelFile file = ModelFile.open(path)) {
            if (file.size() > maxBytes) {
                throw file.error(Reason.LIMIT, "a size of " + file.size() + " bytes, at most " + maxBytes + " are read");
            }
            return read(file, 0, file.size(), parser -> {
                expect(file, parser, parser.nextToken(), JsonToken.START_OBJECT, "the file");
                return new Tree(file, parser, maxValues).object();
            });
        }
    }

    /** Checks the kind of a token. What stands there instead is read to its end first, so that one nested too deep is named as such. */
    public static void expect(ModelFile file, JsonParser parser, @Nullable JsonToken found, JsonToken expected, String item)
            throws IOException {
        expect(file, parser, found, expected, () -> item);
    }

    /** The same with an item that is put into words for an error only: a header has millions of them. */
    public static void expect(ModelFile file, JsonParser parser, @Nullable JsonToken found, JsonToken expected, Supplier<String> item)
            throws IOException {
        if (found != expected) {
            parser.skipChildren();
            throw file.error(
                    Reason.CORRUPT,
                    item.get() + " must be " + words(expected) + ", found " + (found == null ? "nothing" : words(found)) + " at "
                            + place(parser));
        }
    }

    /** The current token's name, bounded: Jackson bounds names only where it keeps a table of them. */
    public static String name(ModelFile file, JsonParser parser) throws IOException {
        String name = parser.currentName();
        if (name.length() > NAME_CHARACTERS) {
            throw file.error(Reason.LIMIT, "a name of " + name.length() + " characters, at most " + NAME_CHARACTERS + " are read");
        }
        return name;
    }

    /** A value of a tree for people: a string as it is, everything else as JSON. */
    public static String text(@Nullable Object value) {
        if (value instanceof String s) {
            return s;
        }
        var out = new StringWriter();
        try (JsonGenerator generator = FACTORY.createGenerator(out)) {
            write(generator, value);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toString();
    }

    private static void write(JsonGenerator out, @Nullable Object value) throws IOException {
        if (value instanceof Map<?, ?> map) {
            out.writeStartObject();
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                out.writeFieldName(String.valueOf(entry.getKey()));
                write(out, entry.getValue());
            }
            out.writeEndObject();
        } else if (value instanceof List<?> list) {
            out.writeStartArray();
            for (Object item : list) {
                write(out, item);
            }
            out.writeEndArray();
        } else if (value instanceof String s) {
            out.writeString(s);
        } else {
            out.writeRawValue(String.valueOf(value));
        }
    }

    private static Reader withoutMark(ModelFile file, Reader reader) throws IOException {
        var first = new PushbackReader(reader, 1);
        int c = first.read();
        if (c == 0xFEFF) {
            throw file.error(Reason.CORRUPT, "JSON must start with '{', found a byte order mark");
        }
        if (c >= 0) {
            first.unread(c);
        }
        return first;
    }

    private static String words(JsonToken token) {
        return switch (token) {
            case START_OBJECT -> "an object";
            case START_ARRAY -> "a list";
            case VALUE_STRING -> "a string";
            case VALUE_NUMBER_INT -> "an integer";
            case VALUE_NUMBER_FLOAT -> "a number with a fraction or exponent";
            case VALUE_TRUE, VALUE_FALSE -> "a boolean";
            case VALUE_NULL -> "null";
            default -> token.name();
        };
    }

    private static String place(JsonParser parser) {
        return "character " + parser.currentTokenLocation().getCharOffset();
    }

    private static String oneLine(JsonProcessingException e) {
        String place = e.getLocation() == null ? "" : " at character " + e.getLocation().getCharOffset();
        return e.getOriginalMessage().replace('\n', ' ') + place;
    }

    /** Builds maps, lists, strings, Long, BigInteger, Double, Boolean and null. */
    private static final class Tree {
        private final ModelFile file;
        private final JsonParser parser;
        private final long most;
        private long values;

        Tree(ModelFile file, JsonParser parser, long most) {
            this.file = file;
            this.parser = parser;
            this.most = most;
        }

        Map<String, @Nullable Object> object() throws IOException {
            Map<String, @Nullable Object> map = new LinkedHashMap<>();
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = name(file, parser);
                parser.nextToken();
                if (map.containsKey(name)) {
                    throw file.error(Reason.DUPLICATE, "the key \"" + name + "\" occurs twice");
                }
                map.put(name, value());
            }
            return map;
        }

        private @Nullable Object value() throws IOException {
            if (++values > most) {
                throw file.error(Reason.LIMIT, "more than " + most + " values");
            }
            return switch (parser.currentToken()) {
                case START_OBJECT -> object();
                case START_ARRAY -> array();
                case VALUE_STRING -> parser.getText();
                case VALUE_NUMBER_INT -> integer();
                case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
                case VALUE_TRUE -> true;
                case VALUE_FALSE -> false;
                default -> null;
            };
        }

        private Number integer() throws IOException {
            BigInteger value = parser.getBigIntegerValue();
            if (value.bitLength() > 63) {
                return value;
            }
            return value.longValue();
        }

        private List<@Nullable Object> array() throws IOException {
            List<@Nullable Object> list = new ArrayList<>();
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                list.add(value());
            }
            return list;
        }
    }
}
