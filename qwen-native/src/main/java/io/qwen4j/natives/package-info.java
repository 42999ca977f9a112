/** The native CPU backend: availability, loading of the library, the binding, and {@link io.qwen4j.natives.CpuOps}. */
package io.qwen4j.natives;
