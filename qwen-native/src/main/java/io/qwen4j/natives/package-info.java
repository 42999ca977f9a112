/** The native backends. Of the CPU: availability, loading of the library, the binding, and {@link io.qwen4j.natives.CpuOps}; the same for CUDA devices. */
package io.qwen4j.natives;
