package io.qwen4j.core.engine;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.Device;
import io.qwen4j.InstructionSet;
import io.qwen4j.LoadOptions;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Settings for diagnosis: what {@link LoadOptions} leaves open is taken from the system properties {@code qwen4j.device}, {@code
 * qwen4j.threads} and {@code qwen4j.isa}, else from the environment ({@code QWEN4J_DEVICE} and so on), else from the machine.
 *
 * @param device where to compute
 * @param threads compute threads, at least 1
 * @param instructionSet the highest instruction set, or null for the best
 * @param activations how finely activations may be rounded
 */
record Settings(Device device, int threads, @Nullable InstructionSet instructionSet, ActivationPrecision activations) {
    /** Looks at options, properties and environment. */
    static Settings of(LoadOptions options) {
        return of(options, System::getProperty, System::getenv);
    }

    static Settings of(LoadOptions options, UnaryOperator<@Nullable String> properties, UnaryOperator<@Nullable String> environment) {
        Device device = options.device();
        if (device == Device.AUTO) {
            Device set = constant(Device.class, "device", properties, environment);
            device = set == null ? Device.AUTO : set;
        }
        InstructionSet isa = options.instructionSet();
        if (isa == null) {
            isa = constant(InstructionSet.class, "isa", properties, environment);
        }
        int threads = options.threads();
        if (threads == 0) {
            threads = threads(properties, environment);
        }
        return new Settings(device, threads, isa, options.activations());
    }

    private static int threads(UnaryOperator<@Nullable String> properties, UnaryOperator<@Nullable String> environment) {
        String value = value("threads", properties, environment);
        if (value == null) {
            return Math.min(1024, Runtime.getRuntime().availableProcessors());
        }
        if (!value.matches("[0-9]{1,4}") || Integer.parseInt(value) < 1 || Integer.parseInt(value) > 1024) {
            throw new IllegalArgumentException("qwen4j.threads (or QWEN4J_THREADS) must be 1 to 1024, found " + value);
        }
        return Integer.parseInt(value);
    }

    private static <E extends Enum<E>> @Nullable E constant(
            Class<E> type, String name, UnaryOperator<@Nullable String> properties, UnaryOperator<@Nullable String> environment) {
        String value = value(name, properties, environment);
        if (value == null) {
            return null;
        }
        for (E constant : type.getEnumConstants()) {
            if (constant.name().equalsIgnoreCase(value)) {
                return constant;
            }
        }
        throw new IllegalArgumentException("qwen4j." + name + " (or QWEN4J_" + name.toUpperCase(Locale.ROOT) + ") must be one of "
                + Arrays.toString(type.getEnumConstants()).toLowerCase(Locale.ROOT) + ", found " + value);
    }

    private static @Nullable String value(
            String name, UnaryOperator<@Nullable String> properties, UnaryOperator<@Nullable String> environment) {
        String value = properties.apply("qwen4j." + name);
        if (value == null || value.isBlank()) {
            value = environment.apply("QWEN4J_" + name.toUpperCase(Locale.ROOT));
        }
        return value == null || value.isBlank() ? null : value.strip();
    }
}
