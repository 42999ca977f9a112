package io.qwen4j.core.ops;

import io.qwen4j.InstructionSet;
import org.jspecify.annotations.Nullable;

/**
 * Options of a backend.
 *
 * @param threads compute threads, at least 1
 * @param instructionSet the highest instruction set to use, or null for the best of the machine
 */
public record OpsOptions(int threads, @Nullable InstructionSet instructionSet) {}
