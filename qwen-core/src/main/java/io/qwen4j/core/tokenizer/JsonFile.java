package io.qwen4j.core.tokenizer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.io.JsonEOFException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** A JSON file of a tokenizer, read as a stream; what is wrong with it becomes a {@link ModelFileException}. */
final class JsonFile implements AutoCloseable {
    /** Names are not interned: a vocabulary has 151,643 different ones. */
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(64)
                    .maxStringLength(1 << 20)
                    .maxNameLength(1 << 16)
                    .maxNumberLength(100)
                    .build())
            .build();

    /** Most values in a part that is read into memory as a tree; the settings of Qwen2.5 have 30. */
    private static final int MAX_NODES = 10_000;

    private final Path path;
    private final Reader text;
    private final JsonParser parser;

    private JsonFile(Path path, Reader text, JsonParser parser) {
        this.path = path;
        this.text = text;
        this.parser = parser;
    }

    /** Reads something of the file. */
    interface Member {
        void read(JsonParser parser) throws IOException;
    }

    /** Opens a file of limited size. */
    static JsonFile open(Path path, long limit) {
        // A decoder of its own refuses what is not UTF-8; by default it would be replaced.
        Reader text = new InputStreamReader(TokenizerFiles.open(path, limit), StandardCharsets.UTF_8.newDecoder());
        try {
            return new JsonFile(path, text, FACTORY.createParser(text));
        } catch (IOException e) {
            TokenizerFiles.close(text);
            throw failure(path, e);
        }
    }

    /** Reads the file, which must be one object: for each member the reader is called with the parser on the value. */
    void readObject(Member member) {
        try {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new ModelFileException(Reason.CORRUPT, path, "expected a JSON object");
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                parser.nextToken();
                member.read(parser);
            }
            if (parser.nextToken() != null) {
                throw new ModelFileException(Reason.CORRUPT, path, "there is something behind the JSON object");
            }
        } catch (IOException e) {
            throw failure(path, e);
        }
    }

    /** The one value in a range of bytes of a file, as a tree of bounded size. */
    static JsonNode tree(Path path, byte[] bytes, int from, int end) {
        JsonNode[] found = new JsonNode[1];
        try (JsonFile part = part(path, bytes, from, end)) {
            part.readValue(parser -> found[0] = part.tree());
        }
        return found[0];
    }

    /** Checks that a range of bytes of a file is one value. */
    static void check(Path path, byte[] bytes, int from, int end) {
        try (JsonFile part = part(path, bytes, from, end)) {
            part.readValue(JsonParser::skipChildren);
        }
    }

    private static JsonFile part(Path path, byte[] bytes, int from, int end) {
        Reader text = new InputStreamReader(new ByteArrayInputStream(bytes, from, end - from), StandardCharsets.UTF_8.newDecoder());
        try {
            return new JsonFile(path, text, FACTORY.createParser(text));
        } catch (IOException e) {
            throw failure(path, e);
        }
    }

    private void readValue(Member value) {
        try {
            if (parser.nextToken() == null) {
                throw new ModelFileException(Reason.CORRUPT, path, "a JSON value is missing");
            }
            value.read(parser);
            if (parser.nextToken() != null) {
                throw new ModelFileException(Reason.CORRUPT, path, "expected one JSON value");
            }
        } catch (IOException e) {
            throw failure(path, e);
        }
    }

    /** The value that the parser is on, as a tree of bounded size. */
    JsonNode tree() throws IOException {
        return tree(new int[] {MAX_NODES});
    }

    private JsonNode tree(int[] left) throws IOException {
        if (--left[0] < 0) {
            throw new ModelFileException(Reason.LIMIT, path, "\"" + parser.currentName() + "\" has more than " + MAX_NODES + " values");
        }
        JsonNodeFactory nodes = JsonNodeFactory.instance;
        switch (parser.currentToken()) {
            case START_OBJECT:
                ObjectNode object = nodes.objectNode();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String name = parser.currentName();
                    parser.nextToken();
                    if (object.has(name)) {
                        throw new ModelFileException(Reason.DUPLICATE, path, "\"" + TokenizerBuilder.shortened(name) + "\" occurs twice");
                    }
                    object.set(name, tree(left));
                }
                return object;
            case START_ARRAY:
                ArrayNode array = nodes.arrayNode();
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    array.add(tree(left));
                }
                return array;
            case VALUE_STRING:
                return nodes.textNode(parser.getText());
            case VALUE_NUMBER_INT:
                return parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER
                        ? nodes.numberNode(parser.getBigIntegerValue())
                        : nodes.numberNode(parser.getLongValue());
            case VALUE_NUMBER_FLOAT:
                return nodes.numberNode(parser.getDoubleValue());
            case VALUE_TRUE, VALUE_FALSE:
                return nodes.booleanNode(parser.getBooleanValue());
            default:
                return nodes.nullNode();
        }
    }

    private static ModelFileException failure(Path path, IOException e) {
        String message = e instanceof JsonProcessingException json ? json.getOriginalMessage() : String.valueOf(e.getMessage());
        if (e instanceof StreamConstraintsException) {
            return new ModelFileException(Reason.LIMIT, path, message, e);
        }
        if (e instanceof JsonEOFException) {
            return new ModelFileException(Reason.TRUNCATED, path, "the JSON ends early: " + message, e);
        }
        if (e instanceof JsonProcessingException || e instanceof CharacterCodingException) {
            return new ModelFileException(Reason.CORRUPT, path, "it is not JSON: " + message, e);
        }
        return new ModelFileException(Reason.IO, path, "reading failed: " + message, e);
    }

    @Override
    public void close() {
        TokenizerFiles.close(text);
    }
}
