/**
 * Byte-level BPE with the ids of the Hugging Face tokenizers library.
 *
 * <p>The way of a text: {@link io.qwen4j.core.tokenizer.AddedTokens} are cut out, {@link io.qwen4j.core.tokenizer.Nfc} normalises what is
 * between them, {@link io.qwen4j.core.tokenizer.PreTokenizer} cuts that into words, and {@link io.qwen4j.core.tokenizer.BpeEncoder} merges
 * the bytes of each word. The readers of the files are {@link io.qwen4j.core.tokenizer.TokenizerLoader} and what it calls.
 */
package io.qwen4j.core.tokenizer;
