package io.qwen4j.natives;

import io.qwen4j.BackendInfo;
import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.InstructionSet;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** Offers {@link CpuOps} where the native library can be loaded. */
public final class CpuOpsProvider implements OpsProvider {
    static final String ISA_PROPERTY = "qwen4j.isa";
    private static final int PRIORITY = 100;

    /** For {@link java.util.ServiceLoader}. */
    public CpuOpsProvider() {}

    @Override
    public Device device() {
        return Device.CPU;
    }

    @Override
    public int priority() {
        return PRIORITY;
    }

    @Override
    public Optional<Throwable> unavailabilityCause() {
        return NativeRuntime.instance().cause();
    }

    @Override
    public List<BackendInfo.Hardware> hardware() {
        if (unavailabilityCause().isPresent()) {
            return List.of();
        }
        String set = NativeRuntime.instance().best().name().toLowerCase(Locale.ROOT);
        return List.of(new BackendInfo.Hardware(System.getProperty("os.arch"), set, 0, 0));
    }

    @Override
    public Ops create(OpsOptions options) {
        Optional<Throwable> cause = unavailabilityCause();
        if (cause.isPresent()) {
            throw new BackendUnavailableException("the native CPU backend is unavailable: " + cause.get().getMessage(), cause.get());
        }
        InstructionSet best = NativeRuntime.instance().best();
        return new CpuOps(choose(options, System.getProperty(ISA_PROPERTY), best), options.threads(), options.activations());
    }

    /** The instruction set of the options, else of the property, else the best. */
    static InstructionSet choose(OpsOptions options, @org.jspecify.annotations.Nullable String property, InstructionSet best) {
        InstructionSet wanted = options.instructionSet();
        if (wanted == null && property != null && !property.isBlank()) {
            String name = property.strip().toUpperCase(Locale.ROOT);
            wanted = Arrays.stream(InstructionSet.values())
                    .filter(i -> i.name().equals(name))
                    .findFirst()
                    .orElseThrow(() -> new BackendUnavailableException(
                            ISA_PROPERTY + " is \"" + property + "\", expected one of " + Arrays.toString(InstructionSet.values())));
        }
        if (wanted == null) {
            return best;
        }
        if (wanted.compareTo(best) > 0) {
            throw new BackendUnavailableException("instruction set " + wanted + " was asked for, this machine has " + best);
        }
        return wanted;
    }
}
