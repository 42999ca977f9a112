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
     * there is none or the model is of a kind without kernels, and with {@link InsufficientMemoryException} where it does not fit into its
     * memory. What {@link LoadOptions} leaves open is then fitted to it first: a shorter context, smaller prefill slices, an INT8 cache, in
     * this order; each step is a line of the log.
     */
    CUDA
}
