package io.qwen4j.tool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.InstructionSet;
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
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

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

    private static LoadOptions.Builder options(@Nullable WeightType type) {
        return LoadOptions.builder().quantization(type).cacheTokens(4096);
    }

    /** The model on an instruction set, or null where this machine or this build has no such kernels, which is printed. */
    private static @Nullable QwenModel load(InstructionSet set, @Nullable WeightType type) {
        try {
            return QwenModel.load(TinyQwen.directory(), options(type).device(Device.CPU).instructionSet(set).build());
        } catch (BackendUnavailableException e) {
            System.out.println("Not asked on " + set + ": " + e.getMessage());
            return null;
        }
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

    /** Asks part of the questions of each family and compares the rate with the measured one. */
    private static void compare(String label, QwenModel model, Map<String, Family> families, int part) {
        double farthest = 0;
        StringBuilder table = new StringBuilder(label);
        for (Map.Entry<String, Family> entry : families.entrySet()) {
            List<Case> cases = entry.getValue().cases().subList(0, entry.getValue().cases().size() / part);
            int count = right(model, cases);
            double expected = entry.getValue().measured() * cases.size();
            table.append(String.format(Locale.ROOT, "; %s %d of %d, expected %.0f", entry.getKey(), count, cases.size(), expected));
            farthest = Math.max(farthest, 100 * Math.abs(count - expected) / cases.size());
        }
        System.out.println(table);
        assertTrue(farthest <= 2, farthest + " points from a measured rate: " + table);
    }

    @ParameterizedTest
    @CsvSource({"BASELINE,", "BASELINE,Q8_0", "AVX2,", "AVX2,Q8_0", "AVX512,", "AVX512,Q8_0", "VNNI,", "VNNI,Q8_0"})
    void nativeRatesAreWithinTwoPoints(InstructionSet set, @Nullable WeightType type) {
        try (QwenModel model = load(set, type)) {
            if (model != null) {
                compare(set + " " + (type == null ? "BF16" : type), model, FAMILIES, 1);
            }
        }
    }

    /** The plain Java backend takes a third of the questions, of the families whose rate shows in a third. */
    @ParameterizedTest
    @ValueSource(strings = {"BF16", "Q8_0"})
    void javaRatesAreWithinTwoPoints(WeightType type) {
        Map<String, Family> sure = new LinkedHashMap<>(FAMILIES);
        sure.values().removeIf(family -> family.measured() < 1);
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options(type).device(Device.JAVA).build())) {
            compare("JAVA " + type, model, sure, 3);
        }
    }

    @ParameterizedTest
    @CsvSource({"10", "30", "60"})
    void passKeysAreFound(String sentences) {
        List<Case> cases = PASS_KEYS.get(sentences);
        try (QwenModel model = QwenModel.load(TinyQwen.directory(), options(null).build())) {
            List<String> answers = answers(model, cases, 24);
            for (int i = 0; i < cases.size(); i++) {
                assertTrue(answers.get(i).contains(cases.get(i).answer()), cases.get(i).answer() + " in " + answers.get(i));
            }
        }
    }
}
