/** Loading, tokenizing and scheduling for Qwen4J, with the plain Java backend. Applications use {@code io.qwen4j.api}. */
@org.jspecify.annotations.NullMarked
module io.qwen4j.core {
    requires static org.jspecify;
    requires transitive io.qwen4j.api;
    requires com.fasterxml.jackson.databind;
    requires org.slf4j;

    exports io.qwen4j.core.ops to
            io.qwen4j.natives;
    exports io.qwen4j.core.quant to
            io.qwen4j.natives;

    uses io.qwen4j.core.ops.OpsProvider;

    provides io.qwen4j.core.ops.OpsProvider with
            io.qwen4j.core.ops.JavaOpsProvider;
    provides io.qwen4j.spi.QwenProvider with
            io.qwen4j.core.CoreProvider;
}
