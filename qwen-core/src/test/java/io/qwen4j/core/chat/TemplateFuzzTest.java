package io.qwen4j.core.chat;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.qwen4j.RenderedPrompt;
import io.qwen4j.TemplateException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Damaged templates: they render, or they end in the one typed error. */
class TemplateFuzzTest {
    private static final String[] PIECES = {
        "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", "|", "(", ")", "[", "]", "{", "}", "'", "\"", "\\", ".", ",", ":", "=",
        "==", "~", "*", "**", "/", "//", "%", " in ", " not ", " is ", " if ", " else ", " and ", " or ", "none", "true", "0",
        "1", "-1", "1e309", "99999999999999999999", "''", "[]", "{}", "()", "messages", "messages[0]", "loop", "loop.index",
        "range", "namespace", "ns", "x", "\u00e9", "\ud83d\ude00", "\ud800", "\0", "\n", "\r\n", " ", "{% endif %}",
        "{% endfor %}", "{% else %}", "{% set x = messages %}", "{% for x in messages %}", "{% raw %}", "{% endraw %}",
        "{% macro m(x) %}", "{% endmacro %}", "m(x)", "|tojson", "|join", "|sort", "|map(attribute='role')", "|list", "|first",
        "|int", "|float", "|round(2)", "|indent", "|batch(2)", "|dictsort", "|replace('a','b')", ".split('a')", ".items()",
        ".format(1)", "%s", "[1:2]", "[::-1]", "[::0]", "|sum", "|max", "|unique", "|select('odd')",
        "|selectattr('role','eq','user')", ".strip()", ".join(x)", "|truncate(3)", "|string", "|length", "|title", "|trim",
        "is divisibleby 0", "|abs", "'%d'"
    };

    @Test
    void damagedTemplatesEndInTheTypedError() throws IOException {
        List<String> corpus = new ArrayList<>();
        for (String name : List.of("qwen2.5-instruct", "qwq-32b", "r1-distill-qwen-32b")) {
            corpus.add(GoldenChatTest.resource(name + ".jinja"));
        }
        JinjaSemanticsTest.cases().forEach(c -> corpus.add(c.template()));
        long seed = System.nanoTime();
        Random random = new Random(seed);
        int rendered = 0;
        int rounds = 40_000;
        for (int i = 0; i < rounds; i++) {
            String template = mutate(random, corpus);
            try {
                RenderedPrompt prompt = JinjaChatTemplate.parse(template).renderJson(JinjaSemanticsTest.VARIABLES);
                for (RenderedPrompt.Segment segment : prompt.segments()) {
                    assertTrue(!segment.text().isEmpty());
                }
                rendered++;
            } catch (TemplateException e) {
                assertTrue(e.getMessage().length() < 2000, "seed " + seed + ": a long message: " + e.getMessage());
            } catch (RuntimeException | Error e) {
                fail("seed " + seed + ", round " + i + ": " + template, e);
            }
        }
        assertTrue(rendered > rounds / 50 && rendered < rounds, "rendered " + rendered);
    }

    private static String mutate(Random random, List<String> corpus) {
        StringBuilder template = new StringBuilder(corpus.get(random.nextInt(corpus.size())));
        for (int n = 1 + random.nextInt(4); n > 0; n--) {
            int at = random.nextInt(template.length() + 1);
            switch (random.nextInt(4)) {
                case 0 -> template.insert(at, PIECES[random.nextInt(PIECES.length)]);
                case 1 -> template.delete(at, Math.min(template.length(), at + 1 + random.nextInt(6)));
                case 2 -> {
                    int end = Math.min(template.length(), at + 1 + random.nextInt(4));
                    template.replace(at, end, PIECES[random.nextInt(PIECES.length)]);
                }
                default -> {
                    String other = corpus.get(random.nextInt(corpus.size()));
                    int from = random.nextInt(other.length());
                    template.insert(at, other, from, Math.min(other.length(), from + random.nextInt(30)));
                }
            }
        }
        return template.toString();
    }
}
