package io.qwen4j.core.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.GenerationEvent;
import io.qwen4j.ToolCall;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.api.Test;

/** Answers with calls of tools. Events are written as T[text], S[index,id,name], D[index,arguments], F[index,id,name,arguments]. */
class ToolCallParserTest {
    record Case(String answer, String events) {}

    private static String call(String json) {
        return "<tool_call>\n" + json + "\n</tool_call>";
    }

    private static String good(int index, String name, String arguments) {
        return "S[" + index + ",call_" + index + "," + name + "]D[" + index + "," + arguments + "]F[" + index + ",call_" + index + "," + name + ","
                + arguments + "]";
    }

    static Stream<Case> cases() {
        String one = "{\"name\": \"f\", \"arguments\": {\"a\": [1, \"x\"], \"b\": {}}}";
        String arguments = "{\"a\": [1, \"x\"], \"b\": {}}";
        return Stream.of(
                new Case("", ""),
                new Case("Hello, world", "T[Hello, world]"),
                new Case("  Hello \n ", "T[  Hello \n ]"),
                new Case(" \n", "T[ \n]"),
                new Case("a < b <tool <tool_cal> <<tool_call", "T[a < b <tool <tool_cal> <<tool_call]"),
                new Case(call(one), good(0, "f", arguments)),
                new Case("\n" + call(one) + "\n", good(0, "f", arguments)),
                new Case("Let me look.\n" + call(one), "T[Let me look.]" + good(0, "f", arguments)),
                new Case(call(one) + "\n" + call(one), good(0, "f", arguments) + good(1, "f", arguments)),
                new Case(call(one) + call(one) + "\n\nDone.", good(0, "f", arguments) + good(1, "f", arguments) + "T[Done.]"),
                new Case("a\n" + call(one) + " b " + call(one) + "c", "T[a]" + good(0, "f", arguments) + "T[b]" + good(1, "f", arguments) + "T[c]"),
                new Case("<<tool_call>" + one + "</tool_call>", "T[<]" + good(0, "f", arguments)),
                new Case("<tool_call>" + one + "</tool_call>", good(0, "f", arguments)),
                new Case("<tool_call> \t\r\n" + one + " \n </tool_call>", good(0, "f", arguments)),
                new Case(call("{\"arguments\": {\"x\": 1}, \"name\": \"late\"}"), good(0, "late", "{\"x\": 1}")),
                new Case(call("{\"name\": \"f\"}"), good(0, "f", "{}")),
                new Case(call("{\"name\": \"f\", \"arguments\": null}"), good(0, "f", "{}")),
                new Case(call("{\"name\": \"f\", \"arguments\": {}}"), good(0, "f", "{}")),
                new Case(call("{\"id\": 7, \"name\": \"f\", \"extra\": [true, null, -1.5e+3], \"arguments\": {}}"), good(0, "f", "{}")),
                new Case(call("{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": \\\"\\u00e9\\\\n\\\"}\"}"), good(0, "f", "{\"a\": \"\u00e9\\n\"}")),
                new Case(
                        call("{\"name\": \"\u67e5\\u627e\", \"arguments\": {\"s\": \"</tool_call> <tool_call> } \\\" \\\\\"}}"),
                        good(0, "\u67e5\u627e", "{\"s\": \"</tool_call> <tool_call> } \\\" \\\\\"}")),
                new Case(call("{\"name\":\"f\",\"arguments\":{\"n\":-0.5,\"m\":[1e9,0]}}"), good(0, "f", "{\"n\":-0.5,\"m\":[1e9,0]}")),
                new Case(call("{\"name\": \"f\", \"arguments\": {\n  \"a\": 1\n}}"), good(0, "f", "{\n  \"a\": 1\n}")),
                // What is no call is text, all of it.
                new Case(call("no json"), "T[" + call("no json") + "]"),
                new Case("a \n" + call("[1]") + " b", "T[a \n" + call("[1]") + " b]"),
                new Case(call(""), "T[" + call("") + "]"),
                new Case(call("{}"), "T[" + call("{}") + "]"),
                new Case(call("{\"arguments\": {\"a\": 1}}"), "T[" + call("{\"arguments\": {\"a\": 1}}") + "]"),
                new Case(call("{\"name\": 5}"), "T[" + call("{\"name\": 5}") + "]"),
                new Case(call("{\"name\": \"\"}"), "T[" + call("{\"name\": \"\"}") + "]"),
                new Case("<tool_call>\n" + one, "S[0,call_0,f]D[0," + arguments + "]T[<tool_call>\n" + one + "]"),
                new Case("<tool_call>\n" + one + "\n</tool_", "S[0,call_0,f]D[0," + arguments + "]T[<tool_call>\n" + one + "\n</tool_]"),
                new Case("<tool_call>\n{\"name\": \"f\", \"argum", "S[0,call_0,f]T[<tool_call>\n{\"name\": \"f\", \"argum]"),
                new Case("<tool_call>", "T[<tool_call>]"),
                new Case("x <tool_call> ", "T[x <tool_call> ]"),
                new Case("<tool_call>\n" + call(one), "T[<tool_call>]" + good(0, "f", arguments)),
                new Case(
                        call("{\"name\": \"f\", \"arguments\": {\"a\": }}") + call(one),
                        "S[0,call_0,f]D[0,{\"a\": ]T[" + call("{\"name\": \"f\", \"arguments\": {\"a\": }}") + "]" + good(1, "f", arguments)),
                new Case(
                        call("{\"name\": \"f\", \"arguments\": \"[1]\"}"), "S[0,call_0,f]D[0,[1]]T[" + call("{\"name\": \"f\", \"arguments\": \"[1]\"}") + "]"),
                new Case(call("{\"name\": \"f\", \"arguments\": 5}"), "S[0,call_0,f]T[" + call("{\"name\": \"f\", \"arguments\": 5}") + "]"),
                new Case(call("{\"name\": \"f\", \"name\": \"g\"}"), "S[0,call_0,f]T[" + call("{\"name\": \"f\", \"name\": \"g\"}") + "]"),
                new Case(call("{'name': 'f'}"), "T[" + call("{'name': 'f'}") + "]"),
                new Case(call("{\"name\": \"f\",}"), "S[0,call_0,f]T[" + call("{\"name\": \"f\",}") + "]"),
                new Case(call("{\"a\": 01, \"name\": \"f\"}"), "T[" + call("{\"a\": 01, \"name\": \"f\"}") + "]"),
                new Case(call("{\"a\": 1., \"name\": \"f\"}"), "T[" + call("{\"a\": 1., \"name\": \"f\"}") + "]"),
                new Case(call("{\"a\": nul, \"name\": \"f\"}"), "T[" + call("{\"a\": nul, \"name\": \"f\"}") + "]"),
                new Case(call("{\"a\": \"\\x\", \"name\": \"f\"}"), "T[" + call("{\"a\": \"\\x\", \"name\": \"f\"}") + "]"),
                new Case(call("{\"a\": [1}, \"name\": \"f\"}"), "T[" + call("{\"a\": [1}, \"name\": \"f\"}") + "]"),
                new Case(call("{\"a\": \"\n\", \"name\": \"f\"}"), "T[" + call("{\"a\": \"\n\", \"name\": \"f\"}") + "]"),
                new Case(
                        "<tool_call>" + one + " x</tool_call>", "S[0,call_0,f]D[0," + arguments + "]T[<tool_call>" + one + " x</tool_call>]"));
    }

    /** Events as text, with adjacent deltas joined: how the answer was cut may move their borders and nothing else. */
    private static String parse(List<String> pieces) {
        List<GenerationEvent> events = new ArrayList<>();
        ToolCallParser parser = new ToolCallParser(events::add);
        pieces.forEach(parser::feed);
        parser.finish();
        StringBuilder out = new StringBuilder();
        String open = "";
        for (GenerationEvent event : events) {
            String head;
            String body;
            if (event instanceof GenerationEvent.TextDelta delta) {
                head = "T[";
                body = delta.text();
            } else if (event instanceof GenerationEvent.ToolCallDelta delta) {
                head = "D[" + delta.index() + ",";
                body = delta.argumentsDelta();
            } else {
                out.append(open.isEmpty() ? "" : "]").append(written(event));
                open = "";
                continue;
            }
            if (!head.equals(open)) {
                out.append(open.isEmpty() ? "" : "]").append(head);
                open = head;
            }
            if (body.isEmpty()) {
                throw new AssertionError("empty delta");
            }
            out.append(body);
        }
        return out.append(open.isEmpty() ? "" : "]").toString();
    }

    private static String written(GenerationEvent event) {
        if (event instanceof GenerationEvent.ToolCallStarted started) {
            return "S[" + started.index() + "," + started.id() + "," + started.name() + "]";
        }
        GenerationEvent.ToolCallFinished finished = (GenerationEvent.ToolCallFinished) event;
        ToolCall call = finished.call();
        return "F[" + finished.index() + "," + call.id() + "," + call.name() + "," + call.argumentsJson() + "]";
    }

    @ParameterizedTest
    @MethodSource("cases")
    void givesTheEvents(Case c) {
        assertEquals(c.events(), parse(List.of(c.answer())));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void anyCutGivesTheSameEvents(Case c) {
        for (int cut = 0; cut <= c.answer().length(); cut++) {
            assertEquals(c.events(), parse(List.of(c.answer().substring(0, cut), c.answer().substring(cut))), "cut at " + cut);
        }
        assertEquals(c.events(), parse(c.answer().codePoints().mapToObj(Character::toString).toList()));
    }

    /** Random pieces of calls, cut at random: no error, and no text is lost or invented where no call was found. */
    @Test
    void survivesNoise() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        String[] parts = {"<tool_call>", "</tool_call>", "{", "}", "[", "]", "\"", "name", "arguments", ":", ",", " ", "\n", "\\", "1", "-", "null", "<", "x",
            "{\"name\": \"f\", \"arguments\": ", "{\"a\": 1}}", "\u00e9"};
        for (int i = 0; i < 20_000; i++) {
            StringBuilder answer = new StringBuilder();
            for (int n = random.nextInt(20); n > 0; n--) {
                answer.append(parts[random.nextInt(parts.length)]);
            }
            String whole = parse(List.of(answer.toString()));
            int cut = random.nextInt(answer.length() + 1);
            assertEquals(whole, parse(List.of(answer.substring(0, cut), answer.substring(cut))), "seed " + seed + ": " + answer);
            if (!whole.contains("F[") && !whole.contains("S[")) {
                assertEquals(answer.length() == 0 ? "" : "T[" + answer + "]", whole, "seed " + seed);
            }
        }
    }

    @Test
    void aLongAnswerTakesLinearTime() {
        List<GenerationEvent> events = new ArrayList<>();
        ToolCallParser parser = new ToolCallParser(events::add);
        String arguments = "{\"s\": \"" + "x".repeat(2_000_000) + "\"}";
        String answer = call("{\"name\": \"f\", \"arguments\": " + arguments + "}");
        for (int i = 0; i < answer.length(); i += 4) {
            parser.feed(answer.substring(i, Math.min(answer.length(), i + 4)));
        }
        parser.finish();
        assertEquals(1, parser.finishedCalls());
        assertEquals(new GenerationEvent.ToolCallFinished(0, new ToolCall("call_0", "f", arguments)), events.get(events.size() - 1));
    }
}
