package io.qwen4j.core.format;

import io.qwen4j.SamplingOptions;
import java.util.Set;

/**
 * Defaults of generation.
 *
 * @param sampling from generation_config.json; plain sampling (temperature 1) if there is none, greedy if {@code do_sample} is false
 * @param endTokens union of the end tokens of config.json, generation_config.json and GGUF metadata; may be empty
 */
public record GenerationDefaults(SamplingOptions sampling, Set<Integer> endTokens) {}
