package io.qwen4j;

/**
 * How finely the native kernels round activations where they meet quantized weights. F32, F16 and BF16 weights meet them unrounded, except on a
 * GPU, whose tensor cores take 16 bits: in a step of more than 8 tokens, activations are rounded to BF16 beside BF16 weights and to the 11 bits
 * of F16 beside F16 weights.
 */
public enum ActivationPrecision {
    /**
     * 8 bits in groups of 32 values, as llama.cpp does: the fastest. Logits differ from those of unrounded activations by about 1.5e-2 of their
     * standard deviation (root mean square). In a step of 512 or more tokens, GPUs of compute capability 9.0 multiply quantized weights in BF16
     * instead, with activations in BF16.
     */
    INT8,
    /**
     * 8 bits, and 8 more for what they leave over: about twice the arithmetic. Logits differ by less than 1e-3 of their standard deviation. Where
     * a GPU rounds to BF16 or F16 it likewise adds what that leaves over, rounded once more.
     */
    INT16
}
