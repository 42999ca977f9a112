package io.qwen4j;

import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;
import java.util.List;

/**
 * A loaded language model; {@link RewardModel} is for reward models. Thread-safe; requests of several threads are computed together. Close
 * it to free its memory: it is native memory that the garbage collector does not see.
 *
 * <pre>{@code
 * try (QwenModel model = QwenModel.load(Path.of("Qwen2.5-7B-Instruct"))) {
 *     model.chat("What is the capital of Japan?").text().forEach(System.out::print);
 * }
 * }</pre>
 */
public interface QwenModel extends AutoCloseable {
    /**
     * Loads a model with the default options.
     *
     * @param model a Hugging Face directory, or a GGUF file (the first one of a split model)
     * @return the model
     * @throws ModelFileException if the files are not what they should be
     * @throws InsufficientMemoryException if weights and cache do not fit in memory
     * @throws BackendUnavailableException if a backend that was asked for does not work
     */
    static QwenModel load(Path model) {
        return load(model, LoadOptions.DEFAULT);
    }

    /**
     * Loads a model.
     *
     * @param model a Hugging Face directory, or a GGUF file (the first one of a split model)
     * @param options how to load it
     * @return the model
     * @throws ModelFileException if the files are not what they should be
     * @throws InsufficientMemoryException if weights and cache do not fit in memory
     * @throws BackendUnavailableException if a backend that was asked for does not work
     */
    static QwenModel load(Path model, LoadOptions options) {
        return QwenProvider.instance().load(model, options);
    }

    /**
     * Asks one question, with the model's own template and sampling.
     *
     * @param message the user's message; never read as control tokens
     * @return the answer as it comes
     */
    default Generation chat(String message) {
        return submit(new GenerationRequest.Chat(List.of(Message.user(message))));
    }

    /**
     * Continues a text, with the model's own sampling.
     *
     * @param prompt the text; added tokens in it are recognised
     * @return the continuation as it comes
     */
    default Generation generate(String prompt) {
        return submit(new GenerationRequest.Text(prompt));
    }

    /**
     * Submits a request. Returns before anything is computed. Requests start in the order of arrival. One that needs room in the KV cache when
     * there is none waits and is computed again later; none fails for lack of room.
     *
     * @param request the request
     * @return the answer as it comes
     * @throws IllegalArgumentException if the request is wrong in itself
     * @throws ContextOverflowException if the prompt does not fit in the context
     * @throws QueueFullException if too many requests wait
     * @throws ModelClosedException if the model is closed
     */
    Generation submit(GenerationRequest request);

    /**
     * Turns texts into vectors of length 1.
     *
     * @param texts the texts, none of them empty
     * @param pooling how hidden states become one vector
     * @return a vector of {@link ModelInfo#hiddenSize()} values for each text
     * @throws ContextOverflowException if a text does not fit in the context
     */
    List<float[]> embed(List<String> texts, Pooling pooling);

    /**
     * Computes how probable a text is.
     *
     * @param text the text, not empty; added tokens in it are recognised
     * @return the log-probabilities of its tokens
     * @throws ContextOverflowException if the text does not fit in the context
     */
    Score score(String text);

    /**
     * Computes how probable a text is.
     *
     * @param text the text, not empty
     * @param controlTokens what becomes of the spelling of added tokens in the text
     * @return the log-probabilities of its tokens
     * @throws ContextOverflowException if the text does not fit in the context
     */
    Score score(String text, ControlTokens controlTokens);

    /**
     * Computes how probable a sequence of tokens is.
     *
     * @param tokens token ids, at least one
     * @return the log-probabilities of the tokens
     * @throws ContextOverflowException if the tokens do not fit in the context
     */
    Score score(int[] tokens);

    /**
     * Computes how probable some tokens are as the next one after each of several prompts. What a prompt has in common with the one before
     * it, from the first token on, is not computed again. With YaRN or dual chunks every prompt counts as long as the longest of them.
     *
     * @param prompts token ids of each prompt, at least one in each
     * @param candidates ids of the tokens that are asked for
     * @return for each prompt the natural logarithms of the candidates' probabilities, under the model's own distribution over all tokens
     * @throws ContextOverflowException if a prompt does not fit in the context
     * @throws CancelledException if the thread that waits is interrupted
     */
    List<float[]> nextLogProbabilities(List<int[]> prompts, int[] candidates);

    /**
     * Computes the logits after every token of a sequence.
     *
     * @param tokens token ids, at least one
     * @param consumer takes the rows in order, on a thread of this library's own
     * @throws ContextOverflowException if the tokens do not fit in the context
     */
    void logits(int[] tokens, LogitsConsumer consumer);

    /**
     * What this model is.
     *
     * @return its description
     */
    ModelInfo info();

    /**
     * The sampling that requests get which set none: that of the model's generation_config.json, else plain sampling.
     *
     * @return the options
     */
    SamplingOptions defaultSampling();

    /**
     * The model's tokenizer.
     *
     * @return the tokenizer
     * @throws IllegalStateException if the model has no tokenizer files
     */
    Tokenizer tokenizer();

    /**
     * The model's chat template.
     *
     * @return the template
     */
    ChatTemplate chatTemplate();

    /**
     * What the engine is doing.
     *
     * @return a snapshot
     */
    EngineStats stats();

    /**
     * Cancels all requests and frees the memory. Waits until the step that is being computed ends. May be called from any thread, any number
     * of times; every later use of the model throws {@link ModelClosedException}.
     */
    @Override
    void close();
}
