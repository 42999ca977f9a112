/** Bytes to {@link io.qwen4j.core.format.Checkpoint}: safetensors, GGUF, config.json. Checks everything, computes nothing. */
package io.qwen4j.core.format;
