package io.qwen4j.core.filter;

import io.qwen4j.ContextOverflowException;
import io.qwen4j.ControlTokens;
import io.qwen4j.NumericException;
import io.qwen4j.QwenModel;
import io.qwen4j.Score;
import io.qwen4j.filter.DimensionScore;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import io.qwen4j.filter.LengthLimit;
import io.qwen4j.filter.Scorer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The perplexity of documents. */
public final class PerplexityScorer implements Scorer {
    private static final String NAME = "perplexity";

    private final QwenModel model;
    private final LengthLimit limit;
    /** Most tokens of a document. */
    private final int most;

    /** Makes a scorer; implements {@link Scorer#perplexity}. */
    public PerplexityScorer(QwenModel model, LengthLimit limit) {
        this.model = model;
        this.limit = limit;
        model.tokenizer();
        int context = model.info().contextLength();
        most = limit.mostTokens() == 0 ? context : Math.min(context, limit.mostTokens());
    }

    @Override
    public List<String> dimensions() {
        return List.of(NAME);
    }

    @Override
    public DocumentScores score(String document) {
        CutDocument cut = CutDocument.of(model.tokenizer(), document, most, limit.truncate());
        while (true) {
            if (cut.kept() < 2) {
                throw new DocumentException(Reason.TOO_SHORT, "perplexity needs at least 2 tokens, found " + cut.kept(), null);
            }
            try {
                double perplexity = perplexity(model.score(cut.text(), ControlTokens.PLAIN));
                return new DocumentScores(List.of(new DimensionScore(NAME, perplexity, 1)), cut.ids().length, cut.kept());
            } catch (ContextOverflowException e) {
                // The model's token for the beginning of a text, where there is one, is in the context, too.
                cut = cut.shorter(e.promptTokens() - e.contextLength());
            } catch (NumericException e) {
                throw new DocumentException(Reason.NUMERIC, "expected finite probabilities: " + e.getMessage(), e);
            }
        }
    }

    private static double perplexity(Score score) {
        double perplexity = score.perplexity();
        if (!Double.isFinite(perplexity)) {
            throw new DocumentException(
                    Reason.NUMERIC, "expected a finite perplexity, found " + perplexity + " (log-probability " + score.total() + ")", null);
        }
        return perplexity;
    }

    @Override
    public Map<String, String> settings() {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("scorer", NAME);
        settings.putAll(ModelSettings.of(model));
        settings.putAll(ModelSettings.of(limit));
        return settings;
    }
}
