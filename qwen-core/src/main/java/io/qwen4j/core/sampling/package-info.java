/** Logits to tokens: penalties, filters, the draw, log-probabilities, stop strings. */
package io.qwen4j.core.sampling;
