/** Pages of the KV cache and who holds them. */
package io.qwen4j.core.cache;
