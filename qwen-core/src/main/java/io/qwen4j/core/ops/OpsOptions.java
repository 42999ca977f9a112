package io.qwen4j.core.ops;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import org.jspecify.annotations.Nullable;

/**
 * Options of a backend.
 *
 * @param threads compute threads, at least 1
 * @param instructionSet the highest instruction set to use, or null for the best of the machine
 * @param activations how finely activations may be rounded where they meet quantized weights
 */
public record OpsOptions(int threads, @Nullable InstructionSet instructionSet, ActivationPrecision activations) {
    /** Options with activations of 8 bits. */
    public OpsOptions(int threads, @Nullable InstructionSet instructionSet) {
        this(threads, instructionSet, ActivationPrecision.INT8);
    }
}
