package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.qwen4j.Device;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.LoadOptions;
import io.qwen4j.Message;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import io.qwen4j.WeightType;
import io.qwen4j.tinyqwen.TinyQwen;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Asks the bundled model the questions on which its rates in measured.json were measured with another program: 24 of each family, drawn by
 * {@code corpus.held_out(99, family, 24)} of its recipe, answered greedily in at most 120 tokens and compared with the expected text.
 */
class QuestionsTest {
    private record Case(String question, String answer) {}

    private record Family(double measured, List<Case> cases) {}

    private static final Map<String, Family> FAMILIES = new LinkedHashMap<>();
    private static final Map<String, List<Case>> PASS_KEYS = new LinkedHashMap<>();

    @BeforeAll
    static void read() throws IOException {
        try (InputStream in = QuestionsTest.class.getResourceAsStream("questions.json");
                JsonParser json = new JsonFactory().createParser(in)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                boolean families = json.currentName().equals("exact_match");
                json.nextToken();
                while (json.nextToken() == JsonToken.FIELD_NAME) {
                    String name = json.currentName();
                    json.nextToken();
                    if (families) {
                        FAMILIES.put(name, family(json));
                    } else {
                        PASS_KEYS.put(name, cases(json));
                    }
                }
            }
        }
        assertEquals(8, FAMILIES.size());
        assertTrue(FAMILIES.values().stream().allMatch(f -> f.cases().size() == 24));
        assertEquals(3, PASS_KEYS.size());
    }

    private static Family family(JsonParser json) throws IOException {
        double measured = -1;
        List<Case> cases = List.of();
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String name = json.currentName();
            json.nextToken();
            if (name.equals("measured")) {
                measured = json.getDoubleValue();
            } else {
                cases = cases(json);
            }
        }
        return new Family(measured, cases);
    }

    private static List<Case> cases(JsonParser json) throws IOException {
        List<Case> cases = new ArrayList<>();
        while (json.nextToken() == JsonToken.START_OBJECT) {
            String question = "";
            String answer = "";
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                String value = json.nextTextValue();
                if (name.equals("question")) {
                    question = value;
                } else {
                    answer = value;
                }
            }
            cases.add(new Case(question, answer));
        }
        return cases;
    }

    private static QwenModel load(Device device, @Nullable WeightType type) {
        return QwenModel.load(TinyQwen.directory(), LoadOptions.builder().device(device).quantization(type).cacheTokens(4096).build());
    }

    private static List<String> answers(QwenModel model, List<Case> cases, int maxTokens) {
        GenerationOptions options = GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(maxTokens).build();
        List<Generation> running = new ArrayList<>();
        for (Case c : cases) {
            running.add(model.submit(new GenerationRequest.Chat(List.of(Message.user(c.question())), List.of(), options)));
        }
        return running.stream().map(Generation::await).map(GenerationResult::text).toList();
    }

    private static int right(QwenModel model, List<Case> cases) {
        List<String> answers = answers(model, cases, 120);
        int right = 0;
        for (int i = 0; i < cases.size(); i++) {
            right += answers.get(i).equals(cases.get(i).answer()) ? 1 : 0;
        }
        return right;
    }

    @ParameterizedTest
    @CsvSource({"AUTO,", "AUTO,Q8_0", "JAVA,"})
    void ratesAreWithinTwoPoints(Device device, @Nullable WeightType type) {
        // The plain Java backend takes a third of the questions, of the families with a rate that a third can show.
        int part = device == Device.JAVA ? 3 : 1;
        int asked = 0;
        double expected = 0;
        int right = 0;
        StringBuilder table = new StringBuilder();
        try (QwenModel model = load(device, type)) {
            for (Map.Entry<String, Family> entry : FAMILIES.entrySet()) {
                Family family = entry.getValue();
                if (part > 1 && family.measured() < 1) {
                    continue;
                }
                List<Case> cases = family.cases().subList(0, family.cases().size() / part);
                int count = right(model, cases);
                table.append(String.format("%s %d of %d, expected %.1f%n", entry.getKey(), count, cases.size(), family.measured() * cases.size()));
                asked += cases.size();
                expected += family.measured() * cases.size();
                right += count;
            }
        }
        double points = 100.0 * Math.abs(right - expected) / asked;
        assertTrue(points <= 2, device + " " + type + ": " + points + " points from the measured rate\n" + table);
    }

    @ParameterizedTest
    @CsvSource({"10", "30", "60"})
    void passKeysAreFound(String sentences) {
        List<Case> cases = PASS_KEYS.get(sentences);
        try (QwenModel model = load(Device.AUTO, null)) {
            List<String> answers = answers(model, cases, 24);
            for (int i = 0; i < cases.size(); i++) {
                assertTrue(answers.get(i).contains(cases.get(i).answer()), cases.get(i).answer() + " in " + answers.get(i));
            }
        }
    }
}
