package io.qwen4j.core.filter;

import io.qwen4j.ContextOverflowException;
import io.qwen4j.ControlTokens;
import io.qwen4j.Message;
import io.qwen4j.NumericException;
import io.qwen4j.RewardModel;
import io.qwen4j.filter.DimensionScore;
import io.qwen4j.filter.DocumentException;
import io.qwen4j.filter.DocumentException.Reason;
import io.qwen4j.filter.DocumentScores;
import io.qwen4j.filter.LengthLimit;
import io.qwen4j.filter.Scorer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The reward of documents as answers. */
public final class RewardScorer implements Scorer {
    private static final String NAME = "reward";

    private final RewardModel model;
    private final List<Message> before;
    private final LengthLimit limit;
    /** Most tokens of a document. */
    private final int most;

    /** Makes a scorer; implements {@link Scorer#reward}. */
    public RewardScorer(RewardModel model, List<Message> before, LengthLimit limit) {
        this.model = model;
        this.before = List.copyOf(before);
        this.limit = limit;
        if (model.kind() != RewardModel.Kind.OUTCOME) {
            throw new IllegalArgumentException("a model that judges conversations is needed, " + model.info().name() + " judges steps");
        }
        int context = model.info().contextLength();
        int question = model.tokenizer().encode(model.chatTemplate().render(conversation(""), List.of(), false)).length;
        if (question >= context) {
            throw new IllegalArgumentException(
                    "the conversation takes " + question + " tokens without a document, the context has " + context);
        }
        most = limit.mostTokens() == 0 ? context - question : Math.min(context - question, limit.mostTokens());
    }

    private List<Message> conversation(String document) {
        List<Message> all = new ArrayList<>(before);
        all.add(Message.assistant(document));
        return all;
    }

    @Override
    public List<String> dimensions() {
        return List.of(NAME);
    }

    @Override
    public DocumentScores score(String document) {
        CutDocument cut = CutDocument.of(model.tokenizer(), document, most, limit.truncate());
        while (true) {
            try {
                double reward = model.score(conversation(cut.text()));
                return new DocumentScores(List.of(new DimensionScore(NAME, reward, 1)), cut.ids().length, cut.kept());
            } catch (ContextOverflowException e) {
                // Inside the template the document may have a token more than alone.
                cut = cut.shorter(e.promptTokens() - e.contextLength());
            } catch (NumericException e) {
                throw new DocumentException(Reason.NUMERIC, "expected a finite reward: " + e.getMessage(), e);
            }
        }
    }

    @Override
    public Map<String, String> settings() {
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("scorer", NAME);
        int[] probe = ModelSettings.probe(model.tokenizer().encode(ModelSettings.PROBE, ControlTokens.PLAIN), model.info());
        settings.putAll(ModelSettings.of(model.info()));
        settings.put("reward of a probe", String.valueOf(model.score(probe)));
        settings.put("chat template", Digest.of(model.chatTemplate().source()));
        for (int i = 0; i < before.size(); i++) {
            String role = before.get(i).getClass().getSimpleName();
            settings.put("message " + (i + 1) + " before the document", role + ": " + before.get(i).content());
        }
        settings.putAll(ModelSettings.of(limit));
        return settings;
    }
}
