package io.qwen4j;

/**
 * Tokens of a request.
 *
 * @param promptTokens tokens of the prompt
 * @param completionTokens tokens generated, the end token included
 */
public record Usage(int promptTokens, int completionTokens) {}
