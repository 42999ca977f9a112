/** Hugging Face directories: config.json, generation_config.json, one or many safetensors files. */
package io.qwen4j.core.format.safetensors;
