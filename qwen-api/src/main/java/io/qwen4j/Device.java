package io.qwen4j;

/** Where a model computes. */
public enum Device {
    /** The fastest backend that works on this machine; a log line says which, and why not a faster one. */
    AUTO,
    /** The plain Java backend: slow, the definition of all others, and everywhere available. */
    JAVA,
    /** The native CPU kernels; loading fails with {@link BackendUnavailableException} where they cannot be used. */
    CPU,
    /**
     * The CUDA kernels, on an NVIDIA device of compute capability 8.0 or higher; loading fails with {@link BackendUnavailableException} where
     * there is none, and with {@link InsufficientMemoryException} where the model does not fit into its memory.
     */
    CUDA
}
