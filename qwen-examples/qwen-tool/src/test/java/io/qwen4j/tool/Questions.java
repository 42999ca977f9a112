package io.qwen4j.tool;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.qwen4j.Generation;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.GenerationResult;
import io.qwen4j.Message;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The questions on which the rates of the bundled model in measured.json were measured with another program: 24 of each family, drawn by
 * {@code corpus.held_out(99, family, 24)} of its recipe, answered greedily in at most 120 tokens and compared with the expected text.
 *
 * @param families question families by name
 * @param passKeys texts with a hidden key, by their number of sentences
 */
record Questions(Map<String, Family> families, Map<String, List<Case>> passKeys) {
    private static final int MAX_TOKENS = 120;

    /** A question and the answer that counts as right. */
    record Case(String question, String answer) {}

    /**
     * Questions of one kind.
     *
     * @param measured part of them that the unquantized model answers right
     */
    record Family(double measured, List<Case> cases) {}

    static Questions read() {
        Map<String, Family> families = new LinkedHashMap<>();
        Map<String, List<Case>> passKeys = new LinkedHashMap<>();
        try (InputStream in = Questions.class.getResourceAsStream("questions.json");
                JsonParser json = new JsonFactory().createParser(in)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                boolean exactMatch = json.currentName().equals("exact_match");
                json.nextToken();
                while (json.nextToken() == JsonToken.FIELD_NAME) {
                    String name = json.currentName();
                    json.nextToken();
                    if (exactMatch) {
                        families.put(name, family(json));
                    } else {
                        passKeys.put(name, cases(json));
                    }
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        if (families.size() != 8 || families.values().stream().anyMatch(f -> f.cases().size() != 24) || passKeys.size() != 3) {
            throw new IllegalStateException("expected 8 families of 24 questions and 3 lengths of texts, found " + families + passKeys);
        }
        return new Questions(families, passKeys);
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

    /** The greedy answers. */
    static List<String> answers(QwenModel model, List<Case> cases, int maxTokens) {
        GenerationOptions options = GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(maxTokens).build();
        List<Generation> running = new ArrayList<>();
        for (Case c : cases) {
            running.add(model.submit(new GenerationRequest.Chat(List.of(Message.user(c.question())), List.of(), options)));
        }
        return running.stream().map(Generation::await).map(GenerationResult::text).toList();
    }

    /** How many answers are the expected ones, character for character. */
    static int right(QwenModel model, List<Case> cases) {
        List<String> answers = answers(model, cases, MAX_TOKENS);
        int right = 0;
        for (int i = 0; i < cases.size(); i++) {
            right += answers.get(i).equals(cases.get(i).answer()) ? 1 : 0;
        }
        return right;
    }
}
