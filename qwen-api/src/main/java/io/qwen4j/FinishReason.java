package io.qwen4j;

/** Why an answer ended. Constants may be added: have a default branch. */
public enum FinishReason {
    /** The model chose an end token, or a stop string came. */
    STOP,
    /** {@link GenerationOptions#maxTokens()} or the context length was reached. */
    LENGTH,
    /** The model ended its turn after calling tools. */
    TOOL_CALLS,
    /** The request was cancelled, or its model closed. */
    CANCELLED
}
