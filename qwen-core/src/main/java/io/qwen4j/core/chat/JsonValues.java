package io.qwen4j.core.chat;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import io.qwen4j.core.chat.jinja.Dict;
import io.qwen4j.core.chat.jinja.Seq;
import io.qwen4j.core.chat.jinja.Text;
import java.io.IOException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;

/** JSON as values of a template, read as Python's {@code json.loads} reads it: order kept, of equal keys the last value counts. */
final class JsonValues {
    /** Python's own reader gives up near 1,000 levels and at integers of more than 4,300 digits. */
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(400)
                    .maxNumberLength(4300)
                    .maxStringLength(64 << 20)
                    .build())
            .build();

    private JsonValues() {}

    /**
     * Reads a whole text as one value whose strings are marked as coming from a conversation.
     *
     * @throws IllegalArgumentException if it is not JSON; the message starts with {@code what}
     */
    static Object parse(String json, String what) {
        try (JsonParser parser = FACTORY.createParser(json)) {
            if (parser.nextToken() == null) {
                throw new IllegalArgumentException(what + " is empty, expected JSON");
            }
            Object value = value(parser);
            if (parser.nextToken() != null) {
                throw new IllegalArgumentException(what + " goes on after its JSON value");
            }
            return value;
        } catch (IOException e) {
            throw new IllegalArgumentException(what + " is not JSON: " + firstLine(e.getMessage()), e);
        }
    }

    private static String firstLine(String message) {
        int end = message.indexOf('\n');
        return end < 0 ? message : message.substring(0, end);
    }

    private static Object value(JsonParser parser) throws IOException {
        return switch (parser.currentToken()) {
            case START_OBJECT -> object(parser);
            case START_ARRAY -> array(parser);
            case VALUE_STRING -> Text.plain(parser.getText());
            case VALUE_NUMBER_INT -> integer(parser.getText());
            case VALUE_NUMBER_FLOAT -> real(parser.getText());
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case VALUE_NULL -> null;
            default -> throw new IllegalArgumentException("unexpected " + parser.currentToken() + " in JSON");
        };
    }

    private static Object object(JsonParser parser) throws IOException {
        Dict dict = new Dict();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            Text key = Text.plain(parser.currentName());
            parser.nextToken();
            dict.put(key, value(parser));
        }
        return dict;
    }

    private static Object array(JsonParser parser) throws IOException {
        List<Object> items = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            items.add(value(parser));
        }
        return Seq.list(items);
    }

    private static Object integer(String digits) {
        BigInteger value = new BigInteger(digits);
        return value.bitLength() < 64 ? (Object) value.longValue() : value;
    }

    private static Object real(String text) {
        return switch (text) {
            case "NaN" -> Double.NaN;
            case "Infinity", "+Infinity", "INF", "+INF" -> Double.POSITIVE_INFINITY;
            case "-Infinity", "-INF" -> Double.NEGATIVE_INFINITY;
            default -> Double.valueOf(text);
        };
    }
}
