package io.qwen4j.core.filter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.filter.DimensionScore;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DocumentLineTest {
    private static String document(String line) {
        return DocumentLine.document(line.getBytes(StandardCharsets.UTF_8), "text", "quality");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            x                                      | NOT_JSON    | expected a JSON object, found: Unrecognized token
            {"text": "a"                           | NOT_JSON    | expected a JSON object, found: Unexpected end-of-input
            {"text": "a"} {}                       | NOT_JSON    | expected one JSON object, found something after it
            {"text": "a"} x                        | NOT_JSON    | expected a JSON object, found: Unrecognized token
            {'text': 'a'}                          | NOT_JSON    | expected a JSON object
            {"text": "a", "b": NaN}                | NOT_JSON    | expected a JSON object
            ["text", "a"]                          | NOT_JSON    | expected a JSON object, found an array
            "text"                                 | NOT_JSON    | expected a JSON object, found a string
            null                                   | NOT_JSON    | expected a JSON object, found null
            {}                                     | FIELD       | field "text": expected a string, found no such field
            {"a": {"text": "a"}}                   | FIELD       | field "text": expected a string, found no such field
            {"text": "a", "text": "b"}             | FIELD       | field "text": expected once, found twice
            {"text": 5}                            | NOT_TEXT    | field "text": expected a string, found a number
            {"text": null}                         | NOT_TEXT    | field "text": expected a string, found null
            {"text": ["a"], "b": 1}                | NOT_TEXT    | field "text": expected a string, found an array
            {"text": {"text": "a"}}                | NOT_TEXT    | field "text": expected a string, found an object
            {"quality": 1, "text": "a"}            | SCORE_FIELD | field "quality": expected none
            """)
    void whatIsNoDocumentIsNamed(String line, Reason reason, String message) {
        DocumentException e = assertThrows(DocumentException.class, () -> document(line));
        assertEquals(reason, e.reason());
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void bytesThatAreNoUtf8AreRefused() {
        byte[][] lines = {{'{', (byte) 0xff}, {(byte) 0xc0, (byte) 0x80}, {0, '{', 0, '}'}, {(byte) 0xff, (byte) 0xfe, '{', 0}};
        for (byte[] line : lines) {
            DocumentException e = assertThrows(DocumentException.class, () -> DocumentLine.document(line, "text", "quality"));
            assertTrue(e.reason() == Reason.NOT_UTF8 || e.reason() == Reason.NOT_JSON, e.getMessage());
        }
        byte[] latin = "{\"text\": \"é\"}".getBytes(StandardCharsets.ISO_8859_1);
        assertEquals(
                Reason.NOT_UTF8,
                assertThrows(DocumentException.class, () -> DocumentLine.document(latin, "text", "quality")).reason());
    }

    @Test
    void nestingIsBounded() {
        String deep = "{\"text\": \"a\", \"b\": " + "[".repeat(100_000) + "]".repeat(100_000) + "}";
        assertEquals(Reason.NOT_JSON, assertThrows(DocumentException.class, () -> document(deep)).reason());
    }

    @Test
    void documentsAreFound() {
        assertEquals("a", document("{\"text\": \"a\"}"));
        assertEquals("é\n😀\ud800", document(" {\"b\":[{\"text\":1}],\"text\" : \"\\u00e9\\n\\ud83d\\ude00\\ud800\" , \"c\":{}}\t\r"));
        assertEquals("", document("{\"text\": \"\"}"));
        assertEquals("a", document("\ufeff{\"text\": \"a\"}"));
        String large = "x".repeat(30_000_000);
        assertEquals(large, document("{\"text\":\"" + large + "\"}"));
    }

    @Test
    void scoresStandBeforeTheClosingBrace() {
        byte[] line = "{\"text\": \"}\"} \r".getBytes(StandardCharsets.UTF_8);
        assertEquals(12, DocumentLine.closingBrace(line));
        DocumentScores two = new DocumentScores(List.of(new DimensionScore("a", 1.23456789, 1), new DimensionScore("b-2", 3, 1)), 9, 9);
        assertEquals(
                ",\"q\\\"é\":{\"a\":1.234568,\"b-2\":3.000000,\"mean\":2.117284,\"tokens\":9}",
                new String(DocumentLine.field("q\"é", two), StandardCharsets.UTF_8));
        DocumentScores cut = new DocumentScores(List.of(new DimensionScore("a", -1e9, 1)), 9, 4);
        assertEquals(
                ",\"q\":{\"a\":-1000000000.000000,\"tokens\":9,\"scored_tokens\":4}",
                new String(DocumentLine.field("q", cut), StandardCharsets.UTF_8));
    }

    @Test
    void whateverALineHoldsItIsADocumentOrATypedError() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        byte[] good = "{\"id\": 12, \"text\": \"a \\u00e9 b\", \"m\": [1.5e3, {\"x\": null}, true], \"é\": \"\\\\\"}"
                .getBytes(StandardCharsets.UTF_8);
        byte[] signs = "{}[]\",:\\u0e9ntf-+.eE \t\r\u0000".getBytes(StandardCharsets.UTF_8);
        int found = 0;
        for (int round = 0; round < 50_000; round++) {
            byte[] line = good.clone();
            for (int change = random.nextInt(4); change >= 0; change--) {
                int at = random.nextInt(line.length);
                line[at] = random.nextInt(4) == 0 ? (byte) random.nextInt(256) : signs[random.nextInt(signs.length)];
            }
            try {
                DocumentLine.document(line, "text", "quality");
                found++;
                assertEquals('}', line[DocumentLine.closingBrace(line)]);
            } catch (DocumentException e) {
                assertTrue(e.getMessage() != null && e.line() == 0);
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed + ": " + new String(line, StandardCharsets.ISO_8859_1), e);
            }
        }
        assertTrue(found > 500 && found < 49_500, "found " + found);
    }
}
