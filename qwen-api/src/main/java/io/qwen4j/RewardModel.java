package io.qwen4j;

import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;
import java.util.List;

/**
 * A loaded reward model: tells how good answers are instead of answering. {@link Kind#OUTCOME} judges a conversation as a whole
 * (Qwen2.5-Math-RM, {@code Qwen2ForRewardModel}), {@link Kind#PROCESS} each step of a solution (Qwen2.5-Math-PRM,
 * {@code Qwen2ForProcessRewardModel}).
 *
 * <p>Thread-safe; requests of several threads are computed together. The same tokens have the same reward, bit for bit, whatever is
 * computed beside them. A thread that is interrupted while it waits gets a {@link CancelledException}. Close it to free its memory: it is
 * native memory that the garbage collector does not see.
 *
 * <pre>{@code
 * try (RewardModel model = RewardModel.load(Path.of("Qwen2.5-Math-RM-72B"))) {
 *     double reward = model.score(List.of(Message.user("What is 2 + 2?"), Message.assistant("4")));
 * }
 * }</pre>
 */
public interface RewardModel extends AutoCloseable {
    /** The system message of the published mathematical reward models. */
    String MATH_SYSTEM_MESSAGE = "Please reason step by step, and put your final answer within \\boxed{}.";

    /** What a reward model judges. */
    enum Kind {
        /** A conversation, by one number. */
        OUTCOME,
        /** The steps of an answer, each by a probability. */
        PROCESS
    }

    /**
     * Loads a reward model with the default options.
     *
     * @param model a Hugging Face directory; GGUF has no form for reward models
     * @return the model
     * @throws ModelFileException if the files are not what they should be, or are those of a language model
     * @throws InsufficientMemoryException if weights and cache do not fit in memory
     * @throws BackendUnavailableException if a backend that was asked for does not work
     */
    static RewardModel load(Path model) {
        return load(model, LoadOptions.DEFAULT);
    }

    /**
     * Loads a reward model.
     *
     * @param model a Hugging Face directory; GGUF has no form for reward models
     * @param options how to load it; with {@code quantization} the two layers of the reward head stay as the files have them, and all
     *     tokens attend to all keys, also with {@code sparsePrefill}
     * @return the model
     * @throws ModelFileException if the files are not what they should be, or are those of a language model
     * @throws InsufficientMemoryException if weights and cache do not fit in memory
     * @throws BackendUnavailableException if a backend that was asked for does not work
     */
    static RewardModel load(Path model, LoadOptions options) {
        return QwenProvider.instance().loadReward(model, options);
    }

    /**
     * What this model judges.
     *
     * @return its kind
     */
    Kind kind();

    /**
     * Tells how good the last answer of a conversation is. The model's chat template is rendered without a turn to come; the reward is that
     * of the last token. What stands in a message never becomes a control token.
     *
     * @param conversation the messages, at least one; usually the last is the answer to judge, {@link Message.Assistant}
     * @return the reward, any finite number; the larger, the better. Only rewards of the same model compare
     * @throws UnsupportedOperationException if this model judges steps
     * @throws ContextOverflowException if the conversation does not fit in the context
     * @throws IllegalStateException if the model has no tokenizer files
     * @throws NumericException if the model computes no finite number
     * @throws ModelClosedException if the model is closed, also while it computes
     */
    double score(List<Message> conversation);

    /**
     * As {@link #score(List)}, for many conversations; they are computed together. All are checked before any is computed; if one fails,
     * the others are cancelled.
     *
     * @param conversations the conversations
     * @return the reward of each, in order
     * @throws UnsupportedOperationException if this model judges steps
     * @throws ContextOverflowException if a conversation does not fit in the context
     */
    List<Double> scoreAll(List<? extends List<Message>> conversations);

    /**
     * The reward of tokens; needs no tokenizer.
     *
     * @param tokens token ids of a rendered conversation, at least one; each from 0 and below the model's vocabulary rows
     * @return the reward at the last token
     * @throws UnsupportedOperationException if this model judges steps
     * @throws ContextOverflowException if the tokens do not fit in the context
     */
    double score(int[] tokens);

    /**
     * Judges the steps of the solution of a mathematical question, with {@link #MATH_SYSTEM_MESSAGE}, as the published models want it.
     *
     * @param question what was asked
     * @param steps the steps of the solution in order; what answers have between blank lines is a step
     * @return the probability that a step is right, from 0 to 1, for each step
     * @throws UnsupportedOperationException if this model judges conversations
     * @throws ContextOverflowException if question and steps do not fit in the context
     */
    default List<Double> scoreSteps(String question, List<String> steps) {
        return scoreSteps(List.of(Message.system(MATH_SYSTEM_MESSAGE), Message.user(question)), steps);
    }

    /**
     * Judges the steps of an answer. The answer is rendered as the last message of the conversation, each step followed by the control
     * token {@code <extra_0>}; at that token the model tells, in view of all before it, how probable it is that the step is right. In steps
     * and messages {@code <extra_0>} is ordinary text.
     *
     * @param conversation what came before the answer, at least one message
     * @param steps the steps of the answer in order, at least one, none empty
     * @return the probability that a step is right, from 0 to 1, for each step
     * @throws UnsupportedOperationException if this model judges conversations
     * @throws ContextOverflowException if conversation and steps do not fit in the context
     * @throws IllegalStateException if the model has no tokenizer files
     * @throws TemplateException if the chat template does not write the answer once, as it is
     * @throws NumericException if the model computes no finite number
     * @throws ModelClosedException if the model is closed, also while it computes
     */
    List<Double> scoreSteps(List<Message> conversation, List<String> steps);

    /**
     * The probabilities at some tokens that they end a right step; needs no tokenizer.
     *
     * @param tokens token ids of a rendered conversation, at least one; each from 0 and below the model's vocabulary rows
     * @param ends indices of the tokens that end a step, rising, at least one
     * @return the probability that a step is right, from 0 to 1, for each of them
     * @throws UnsupportedOperationException if this model judges conversations
     * @throws ContextOverflowException if the tokens do not fit in the context
     */
    List<Double> scoreSteps(int[] tokens, int[] ends);

    /**
     * What this model is.
     *
     * @return its description
     */
    ModelInfo info();

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
     * Cancels all requests and frees the memory. Waits until the step that is being computed ends. May be called from any thread, any
     * number of times; every later use of the model throws {@link ModelClosedException}.
     */
    @Override
    void close();
}
