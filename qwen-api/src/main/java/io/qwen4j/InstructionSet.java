package io.qwen4j;

/** Instruction sets for which the native CPU kernels are compiled, in ascending order. */
public enum InstructionSet {
    /** What every x86-64 processor has (SSE2). */
    BASELINE,
    /** AVX2, FMA and F16C. */
    AVX2,
    /** AVX-512 F, BW, DQ and VL. */
    AVX512,
    /** AVX-512 with VNNI. */
    VNNI
}
