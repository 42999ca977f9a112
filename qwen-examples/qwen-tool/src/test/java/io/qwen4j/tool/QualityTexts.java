package io.qwen4j.tool;

import io.qwen4j.QwenModel;
import io.qwen4j.Score;
import java.util.ArrayList;
import java.util.List;

/** Texts that the bundled model was trained for, to measure what a kind of rounding costs. */
final class QualityTexts {
    /** Conversations of a text, which then has about 200 to 500 of the 1,024 tokens of the model's context. */
    private static final int CASES_OF_A_TEXT = 8;

    private QualityTexts() {}

    /** Of each family the first questions with their answers, as conversations that follow each other. */
    static List<String> of(Questions questions) {
        List<String> texts = new ArrayList<>();
        for (Questions.Family family : questions.families().values()) {
            StringBuilder text = new StringBuilder();
            for (Questions.Case c : family.cases().subList(0, CASES_OF_A_TEXT)) {
                text.append("<|im_start|>user\n").append(c.question()).append("<|im_end|>\n");
                text.append("<|im_start|>assistant\n").append(c.answer()).append("<|im_end|>\n");
            }
            texts.add(text.toString());
        }
        return texts;
    }

    static double perplexity(QwenModel model, List<String> texts) {
        double total = 0;
        int tokens = 0;
        for (String text : texts) {
            Score score = model.score(text);
            total += score.total();
            tokens += score.logProbabilities().size();
        }
        return Math.exp(-total / tokens);
    }
}
