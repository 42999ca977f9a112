package io.qwen4j.core.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.qwen4j.TemplateException;
import java.io.IOException;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Small templates and what Python's Jinja2 3.1.6 makes of them in the environment of Hugging Face transformers. */
class JinjaSemanticsTest {
    private static final String MESSAGES =
            "[{\"role\":\"system\",\"content\":\"sys\"},{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"\"}]";
    static final String VARIABLES = "{\"messages\":" + MESSAGES + ",\"ms\":" + MESSAGES + ",\"y\":[1]}";

    record Case(String template, JsonNode expected) {
        @Override
        public String toString() {
            return template.replace("\n", "\\n").replace("\r", "\\r");
        }
    }

    static Stream<Case> cases() throws IOException {
        JsonNode all = new ObjectMapper().readTree(GoldenChatTest.resource("jinja-cases.json"));
        return StreamSupport.stream(all.spliterator(), false).map(node -> new Case(node.get("template").asText(), node));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void agreesWithJinja2(Case c) {
        if (c.expected().has("error")) {
            assertThrows(TemplateException.class, () -> JinjaChatTemplate.parse(c.template()).renderJson(VARIABLES));
        } else {
            assertEquals(c.expected().get("text").asText(), JinjaChatTemplate.parse(c.template()).renderJson(VARIABLES).text());
        }
    }

    /** Python reads and prints these numbers as given on the right. */
    @ParameterizedTest
    @CsvSource({
        "1, 1",
        "1.0, 1.0",
        "-0, 0",
        "-0.0, -0.0",
        "1e5, 100000.0",
        "0.00001, 1e-05",
        "0.0001, 0.0001",
        "1E16, 1e+16",
        "123456789012345.6, 123456789012345.6",
        "9999999999999998.0, 9999999999999998.0",
        "10000000000000000000000, 10000000000000000000000",
        "1e400, Infinity",
        "-1e400, -Infinity",
        "NaN, NaN",
        "2.0E-3, 0.002",
        "5e-324, 5e-324",
        "2.2250738585072014e-308, 2.2250738585072014e-308",
        "0.1, 0.1",
        "100.0, 100.0",
        "1.5e300, 1.5e+300",
        "true, true",
        "null, null"
    })
    void printsNumbersAsPythonDoes(String given, String expected) {
        String json = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"v\":" + given + "}";
        assertEquals(expected, JinjaChatTemplate.parse("{{ v | tojson }}").renderJson(json).text());
    }

    @Test
    void ofEqualKeysTheLastValueCounts() {
        String json = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}],\"v\":{\"x\":1,\"y\":2,\"x\":3}}";
        assertEquals("b{\"x\": 3, \"y\": 2}", JinjaChatTemplate.parse("{{ messages[0].content }}{{ v | tojson }}").renderJson(json).text());
    }

    @Test
    void givesTheTimeAsPythonFormatsIt() {
        String now = JinjaChatTemplate.parse("{{ strftime_now('%d %b %Y|%Y-%m-%d|%H:%M:%S|%A %B|%-d|%j|%%') }}").renderJson(VARIABLES).text();
        assertTrue(
                now.matches("\\d\\d [A-Z][a-z]{2} \\d{4}\\|\\d{4}-\\d\\d-\\d\\d\\|\\d\\d:\\d\\d:\\d\\d\\|[A-Z][a-z]+ [A-Z][a-z]+\\|\\d{1,2}\\|\\d{3}\\|%"),
                now);
    }

    @Test
    void decodesSurrogatesAndEscapesOfJson() {
        String json = "{\"messages\":[{\"role\":\"user\",\"content\":\"\\ud83d\\ude00\\u0000\\u001f\\/\"}]}";
        assertEquals("2|\"😀\\u0000\\u001f/\"", JinjaChatTemplate.parse("{{ messages[0].content[:2]|length }}|{{ messages[0].content|tojson }}")
                .renderJson(json)
                .text());
    }
}
