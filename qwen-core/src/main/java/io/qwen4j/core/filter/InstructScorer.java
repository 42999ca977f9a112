package io.qwen4j.core.filter;

import io.qwen4j.ContextOverflowException;
import io.qwen4j.ControlTokens;
import io.qwen4j.Message;
import io.qwen4j.NumericException;
import io.qwen4j.QwenModel;
import io.qwen4j.filter.Dimension;
import io.qwen4j.filter.DimensionScore;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import io.qwen4j.filter.LengthLimit;
import io.qwen4j.filter.Rubric;
import io.qwen4j.filter.Scorer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Rates documents by the probabilities of the rating tokens. Contents of messages never become control tokens, so documents do not. */
public final class InstructScorer implements Scorer {
    private final QwenModel model;
    private final Rubric rubric;
    private final LengthLimit limit;
    /** Tokens of the ratings, from the lowest. */
    private final int[] ratings;
    /** Most tokens of a document. */
    private final int most;

    /** Makes a scorer; implements {@link Scorer#instruct}. */
    public InstructScorer(QwenModel model, Rubric rubric, LengthLimit limit) {
        this.model = model;
        this.rubric = rubric;
        this.limit = limit;
        ratings = new int[rubric.highest() - rubric.lowest() + 1];
        for (int i = 0; i < ratings.length; i++) {
            String spelling = String.valueOf(rubric.lowest() + i);
            int[] ids = model.tokenizer().encode(spelling, ControlTokens.PLAIN);
            if (ids.length != 1) {
                throw new IllegalArgumentException("a rating must be one token, but " + spelling + " is " + ids.length);
            }
            ratings[i] = ids[0];
        }
        int context = model.info().contextLength();
        int question = prompts("").stream().mapToInt(prompt -> prompt.length).max().orElseThrow();
        if (question >= context) {
            throw new IllegalArgumentException("the question takes " + question + " tokens without a document, the context has " + context);
        }
        most = limit.mostTokens() == 0 ? context - question : Math.min(context - question, limit.mostTokens());
    }

    @Override
    public List<String> dimensions() {
        return rubric.names();
    }

    @Override
    public DocumentScores score(String document) {
        CutDocument cut = CutDocument.of(model.tokenizer(), document, most, limit.truncate());
        while (true) {
            try {
                return new DocumentScores(rate(prompts(cut.text())), cut.ids().length, cut.kept());
            } catch (ContextOverflowException e) {
                // Beside the question the document may have a token more than alone.
                cut = cut.shorter(e.promptTokens() - e.contextLength());
            } catch (NumericException e) {
                throw new DocumentException(Reason.NUMERIC, "expected finite probabilities: " + e.getMessage(), e);
            }
        }
    }

    private List<int[]> prompts(String document) {
        List<int[]> prompts = new ArrayList<>(rubric.dimensions().size());
        for (Dimension dimension : rubric.dimensions()) {
            Message message = Message.user(rubric.message(dimension, document));
            prompts.add(model.tokenizer().encode(model.chatTemplate().render(List.of(message), List.of(), true)));
        }
        return prompts;
    }

    private List<DimensionScore> rate(List<int[]> prompts) {
        List<float[]> found = model.nextLogProbabilities(prompts, ratings);
        List<DimensionScore> scores = new ArrayList<>(found.size());
        for (int d = 0; d < found.size(); d++) {
            scores.add(expected(rubric.dimensions().get(d).name(), found.get(d)));
        }
        return scores;
    }

    /** The greatest log-probability is taken out of the quotient: all of them may be too small for a probability above 0. */
    private DimensionScore expected(String name, float[] logProbabilities) {
        double greatest = Double.NEGATIVE_INFINITY;
        for (float value : logProbabilities) {
            greatest = Math.max(greatest, value);
        }
        if (greatest == Double.NEGATIVE_INFINITY) {
            throw new DocumentException(Reason.NUMERIC, "dimension " + name + ": expected a rating above probability 0, found none", null);
        }
        double sum = 0;
        double weighted = 0;
        double mass = 0;
        for (int i = 0; i < logProbabilities.length; i++) {
            double p = Math.exp(logProbabilities[i] - greatest);
            sum += p;
            weighted += p * (rubric.lowest() + i);
            mass += Math.exp(logProbabilities[i]);
        }
        return new DimensionScore(name, weighted / sum, Math.min(1, mass));
    }

    @Override
    public Map<String, String> settings() {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("scorer", "instruct");
        settings.putAll(ModelSettings.of(model));
        settings.put("chat template", Digest.of(model.chatTemplate().source()));
        settings.put("question", rubric.question());
        settings.put("ratings", rubric.lowest() + " to " + rubric.highest());
        settings.put("dimensions", String.join(", ", rubric.names()));
        rubric.dimensions().forEach(dimension -> settings.put("description of " + dimension.name(), dimension.description()));
        settings.putAll(ModelSettings.of(limit));
        return settings;
    }
}
