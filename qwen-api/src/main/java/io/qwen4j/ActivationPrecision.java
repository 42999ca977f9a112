package io.qwen4j;

/** How finely the native kernels round activations where they meet quantized weights. F32, F16 and BF16 weights meet them unrounded. */
public enum ActivationPrecision {
    /**
     * 8 bits in groups of 32 values, as llama.cpp does: the fastest. Logits differ from those of unrounded activations by about 1.5e-2 of their
     * standard deviation (root mean square).
     */
    INT8,
    /**
     * 8 bits, and 8 more for what they leave over: about twice the arithmetic. Logits differ by less than 1e-3 of their standard deviation.
     */
    INT16
}
