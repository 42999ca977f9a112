/** The native backends of Qwen4J, for CPUs and for CUDA devices. Found through {@link java.util.ServiceLoader}; nothing here is called directly. */
@org.jspecify.annotations.NullMarked
module io.qwen4j.natives {
    requires static org.jspecify;
    requires io.qwen4j.core;
    requires org.bytedeco.javacpp;
    requires org.slf4j;

    provides io.qwen4j.core.ops.OpsProvider with
            io.qwen4j.natives.CpuOpsProvider,
            io.qwen4j.natives.CudaOpsProvider;
}
