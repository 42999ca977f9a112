package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.IOException;
import java.io.StringWriter;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** JSON, as the tool reads and writes it. */
final class Json {
    /** A text to tokenize may be as long as memory allows. */
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder().maxStringLength(Integer.MAX_VALUE).build())
            .build();

    private Json() {}

    /** Writes with this. */
    interface Writing {
        void to(JsonGenerator json) throws IOException;
    }

    static String write(Writing writing) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = FACTORY.createGenerator(text)) {
            writing.to(json);
        }
        return text.toString();
    }

    static JsonParser parser(byte[] text) throws IOException {
        return FACTORY.createParser(text);
    }

    static String quote(String text) throws IOException {
        return write(json -> json.writeString(text));
    }

    /** Reads a string that is all of the line. */
    static String string(byte[] line, long number) throws IOException {
        try (JsonParser parser = FACTORY.createParser(line)) {
            expect(parser.nextToken() == JsonToken.VALUE_STRING, "a JSON string", parser, number);
            String text = parser.getText();
            expect(parser.nextToken() == null, "one JSON string", parser, number);
            return text;
        } catch (JsonProcessingException e) {
            throw wrong("a JSON string", e.getOriginalMessage(), number, e);
        }
    }

    /** Reads an array of whole numbers that is all of the line. */
    static int[] ids(byte[] line, long number) throws IOException {
        try (JsonParser parser = FACTORY.createParser(line)) {
            expect(parser.nextToken() == JsonToken.START_ARRAY, "a JSON array of ids", parser, number);
            int[] ids = new int[64];
            int count = 0;
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                expect(parser.currentToken() == JsonToken.VALUE_NUMBER_INT, "a JSON array of ids", parser, number);
                if (count == ids.length) {
                    ids = Arrays.copyOf(ids, 2 * count);
                }
                ids[count++] = parser.getIntValue();
            }
            expect(parser.nextToken() == null, "one JSON array of ids", parser, number);
            return Arrays.copyOf(ids, count);
        } catch (JsonProcessingException e) {
            throw wrong("a JSON array of ids", e.getOriginalMessage(), number, e);
        }
    }

    private static void expect(boolean fulfilled, String expected, JsonParser parser, long number) throws IOException {
        if (!fulfilled) {
            JsonToken token = parser.currentToken();
            throw wrong(expected, token == null ? "nothing" : token.toString(), number, null);
        }
    }

    private static ToolException wrong(String expected, String found, long number, @Nullable Throwable cause) {
        return new ToolException("standard input, line " + number + ": expected " + expected + ", found " + found, cause);
    }
}
