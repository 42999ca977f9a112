/** The public API of Qwen4J: load a Qwen2.5 model, ask it, read the answer as a stream. */
@org.jspecify.annotations.NullMarked
module io.qwen4j.api {
    requires static transitive org.jspecify;

    exports io.qwen4j;
    exports io.qwen4j.filter;
    exports io.qwen4j.spi;

    uses io.qwen4j.spi.QwenProvider;
}
