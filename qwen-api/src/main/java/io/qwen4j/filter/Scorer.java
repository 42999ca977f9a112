package io.qwen4j.filter;

import io.qwen4j.CancelledException;
import io.qwen4j.Message;
import io.qwen4j.QwenModel;
import io.qwen4j.RewardModel;
import io.qwen4j.spi.QwenProvider;
import java.util.List;
import java.util.Map;

/**
 * Computes the scores of documents. Thread-safe: a {@link QualityFilter} asks it for several documents at a time. It does not own its
 * model; whoever loaded that closes it when nothing is scored any more.
 */
public interface Scorer {
    /**
     * Rates documents with an instruct model, without generating: a prompt for each dimension is prefilled, and the score is the expected
     * value of the rating under the model's probabilities of the rating tokens, {@code sum(r * p(r)) / sum(p(r))}. What the prompts of a
     * document share is computed once. Nothing in a document is read as a control token.
     *
     * @param model an instruct model with a chat template
     * @param rubric what is asked
     * @param limit what becomes of long documents
     * @return the scorer
     * @throws IllegalArgumentException if a rating is not one token of the model, or the question leaves no room for a document
     */
    static Scorer instruct(QwenModel model, Rubric rubric, LengthLimit limit) {
        return QwenProvider.instance().instructScorer(model, rubric, limit);
    }

    /**
     * Computes the perplexity of documents, as the dimension {@code perplexity}: e to the negative mean log-probability of the tokens after
     * the first. Nothing in a document is read as a control token.
     *
     * @param model any model with a tokenizer
     * @param limit what becomes of long documents
     * @return the scorer
     */
    static Scorer perplexity(QwenModel model, LengthLimit limit) {
        return QwenProvider.instance().perplexityScorer(model, limit);
    }

    /**
     * Takes the reward of documents, as the dimension {@code reward}: a document is judged as the answer to a conversation.
     *
     * @param model a reward model that judges conversations
     * @param conversation the messages before the answer, possibly none
     * @param limit what becomes of long documents
     * @return the scorer
     * @throws IllegalArgumentException if the model judges steps, or the conversation leaves no room for a document
     */
    static Scorer reward(RewardModel model, List<Message> conversation, LengthLimit limit) {
        return QwenProvider.instance().rewardScorer(model, conversation, limit);
    }

    /**
     * The dimensions.
     *
     * @return their names, in the order of the scores, at least one
     */
    List<String> dimensions();

    /**
     * Scores a document. Blocks until that is done. The same document has the same scores, whatever is scored beside it.
     *
     * @param document the text
     * @return its scores
     * @throws DocumentException if this document cannot be scored
     * @throws CancelledException if the calling thread is interrupted
     */
    DocumentScores score(String document);

    /**
     * Everything that the scores depend on beside the document, as names and values. A run from file to file that was interrupted goes on
     * only if they are the same. May compute. None is named like one of the run itself: thresholds, on error, field, score field, most
     * bytes of a line, rejected.
     *
     * @return the settings in the order in which they are told
     */
    default Map<String, String> settings() {
        return Map.of("scorer", getClass().getName());
    }
}
