package io.qwen4j.core.filter;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import io.qwen4j.filter.DimensionScore;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * A line of JSON with a document in it. The line is read to find the document, and written as it was. What is put into it stands behind at
 * least one other field, that of the document.
 */
final class DocumentLine {
    private static final char BYTE_ORDER_MARK = '\ufeff';

    /** Lines are bounded before; names are not kept, as every line could bring new ones. */
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxStringLength(Integer.MAX_VALUE)
                    .maxNameLength(Integer.MAX_VALUE)
                    .build())
            .build();

    private DocumentLine() {}

    /**
     * Finds the document of a line.
     *
     * @param field name of the document's field
     * @param scoreField name of a field that must not be there
     */
    static String document(byte[] line, String field, String scoreField) {
        String json;
        try {
            json = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line)).toString();
        } catch (CharacterCodingException e) {
            throw new DocumentException(Reason.NOT_UTF8, "expected UTF-8, found other bytes", e);
        }
        if (!json.isEmpty() && json.charAt(0) == BYTE_ORDER_MARK) {
            json = json.substring(1);
        }
        try (JsonParser parser = FACTORY.createParser(json)) {
            return read(parser, field, scoreField);
        } catch (JsonProcessingException e) {
            throw new DocumentException(Reason.NOT_JSON, "expected a JSON object, found: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new IllegalStateException("a string was read", e);
        }
    }

    private static String read(JsonParser parser, String field, String scoreField) throws IOException {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw new DocumentException(Reason.NOT_JSON, "expected a JSON object, found " + kind(parser.currentToken()), null);
        }
        String text = null;
        DocumentException wrong = null;
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String name = parser.currentName();
            JsonToken value = parser.nextToken();
            if (name.equals(field)) {
                if (text != null) {
                    wrong = new DocumentException(Reason.FIELD, "field \"" + field + "\": expected once, found twice", null);
                } else if (value != JsonToken.VALUE_STRING) {
                    wrong = new DocumentException(
                            Reason.NOT_TEXT, "field \"" + field + "\": expected a string, found " + kind(value), null);
                } else {
                    text = parser.getText();
                }
            } else if (name.equals(scoreField)) {
                wrong = new DocumentException(
                        Reason.SCORE_FIELD, "field \"" + scoreField + "\": expected none, as scores are written to it, found one", null);
            }
            parser.skipChildren();
        }
        if (parser.nextToken() != null) {
            throw new DocumentException(Reason.NOT_JSON, "expected one JSON object, found something after it", null);
        }
        if (wrong != null) {
            throw wrong;
        }
        if (text == null) {
            throw new DocumentException(Reason.FIELD, "field \"" + field + "\": expected a string, found no such field", null);
        }
        return text;
    }

    private static String kind(@Nullable JsonToken token) {
        if (token == null) {
            return "nothing";
        }
        return switch (token) {
            case START_OBJECT -> "an object";
            case START_ARRAY -> "an array";
            case VALUE_STRING -> "a string";
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> "a number";
            case VALUE_TRUE, VALUE_FALSE -> "a boolean";
            case VALUE_NULL -> "null";
            default -> token.name();
        };
    }

    /** Whether a line is white space only. */
    static boolean isBlank(byte[] line) {
        for (byte b : line) {
            if (b != ' ' && b != '\t' && b != '\r') {
                return false;
            }
        }
        return true;
    }

    /** Where a field can be put into a line that holds an object: before the brace that closes it. */
    static int closingBrace(byte[] line) {
        int at = line.length - 1;
        while (line[at] != '}') {
            at--;
        }
        return at;
    }

    /** The scores as a field to be put behind other fields, in UTF-8. */
    static byte[] field(String name, DocumentScores scores) {
        StringBuilder json = new StringBuilder(",\"").append(JsonStringEncoder.getInstance().quoteAsString(name)).append("\":{");
        for (DimensionScore score : scores.dimensions()) {
            append(json, score.dimension(), score.value());
        }
        if (scores.dimensions().size() > 1) {
            append(json, "mean", scores.mean());
        }
        json.append("\"tokens\":").append(scores.tokens());
        if (scores.truncated()) {
            json.append(",\"scored_tokens\":").append(scores.scoredTokens());
        }
        return json.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    /** Six digits after the point: single precision has seven. Names of dimensions need no escapes. */
    private static void append(StringBuilder json, String name, double value) {
        json.append('"').append(name).append("\":").append(String.format(Locale.ROOT, "%.6f", value)).append(',');
    }
}
