package io.qwen4j;

/** A prompt does not fit in the context. Thrown at submission, before anything is computed. */
public class ContextOverflowException extends QwenException {
    private static final long serialVersionUID = 1;

    private final int promptTokens;
    private final int contextLength;

    /**
     * Makes an error.
     *
     * @param promptTokens tokens of the prompt
     * @param contextLength tokens that fit, prompt and answer together
     */
    public ContextOverflowException(int promptTokens, int contextLength) {
        super("the prompt has " + promptTokens + " tokens, but the context holds " + contextLength
                + "; shorten the prompt or load the model with a larger contextLength (and cacheTokens)");
        this.promptTokens = promptTokens;
        this.contextLength = contextLength;
    }

    /**
     * The size of the prompt.
     *
     * @return tokens
     */
    public int promptTokens() {
        return promptTokens;
    }

    /**
     * The size of the context.
     *
     * @return tokens
     */
    public int contextLength() {
        return contextLength;
    }
}
