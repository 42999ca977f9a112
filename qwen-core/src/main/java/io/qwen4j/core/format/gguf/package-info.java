/** GGUF files: reading, and writing files that llama.cpp reads. */
package io.qwen4j.core.format.gguf;
