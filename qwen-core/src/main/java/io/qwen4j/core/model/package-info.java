/** The Qwen2.5 decoder: configuration, weights and the forward pass. */
package io.qwen4j.core.model;
