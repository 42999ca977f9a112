package io.qwen4j.core.tokenizer;

import java.util.OptionalInt;

/**
 * Tokens with a role, as the tokenizer's files name them.
 *
 * @param beginning beginning of a sequence
 * @param end end of a sequence
 * @param padding padding
 * @param addBeginning whether a prompt begins with {@code beginning}; the tokenizer does not add it, who makes the prompt does
 */
public record SpecialTokens(OptionalInt beginning, OptionalInt end, OptionalInt padding, boolean addBeginning) {}
