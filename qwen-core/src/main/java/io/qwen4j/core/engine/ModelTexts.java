package io.qwen4j.core.engine;

import io.qwen4j.ChatTemplate;
import io.qwen4j.Tokenizer;
import org.jspecify.annotations.Nullable;

/**
 * The text side of a model.
 *
 * @param tokenizer null if the model has no files of one
 * @param template null if it cannot be used
 * @param templateError why it cannot, else null
 */
record ModelTexts(@Nullable Tokenizer tokenizer, @Nullable ChatTemplate template, @Nullable RuntimeException templateError) {}
