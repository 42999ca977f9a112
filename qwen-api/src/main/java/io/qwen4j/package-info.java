/**
 * Qwen2.5 models inside a JVM process.
 *
 * <p>{@link io.qwen4j.QwenModel#load(java.nio.file.Path)} opens a Hugging Face directory or a GGUF file;
 * {@link io.qwen4j.QwenModel#chat(String)} answers with a {@link io.qwen4j.Generation}, one stream of events seen as a blocking iterator,
 * a {@code Flow.Publisher}, a {@code CompletableFuture} or a callback. All errors of this library are unchecked and extend
 * {@link io.qwen4j.QwenException}, except wrong arguments ({@link java.lang.IllegalArgumentException}) and use after
 * close ({@link io.qwen4j.ModelClosedException}, an {@link java.lang.IllegalStateException}).
 */
package io.qwen4j;
