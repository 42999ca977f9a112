package io.qwen4j;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.util.Locale;
import java.util.ServiceLoader;
import java.util.stream.Stream;

/**
 * The native backend, and the instruction sets on which it runs here. A test without it is reported as skipped. In a run of its own it is that of
 * an emulated CUDA device, which has no instruction sets: one stands for it.
 */
final class NativeSets {
    /** Where tests compute. */
    static final Device DEVICE = Device.valueOf(System.getProperty("qwen.test.device", "cpu").toUpperCase(Locale.ROOT));

    private NativeSets() {}

    static OpsProvider provider() {
        OpsProvider provider = ServiceLoader.load(OpsProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(p -> p.device() == DEVICE)
                .findFirst()
                .orElseThrow();
        assumeTrue(provider.unavailabilityCause().isEmpty(), () -> "no native kernels to test: " + provider.unavailabilityCause());
        return provider;
    }

    static Stream<InstructionSet> all() {
        OpsProvider provider = provider();
        if (DEVICE == Device.CUDA) {
            return Stream.of(InstructionSet.BASELINE);
        }
        return Stream.of(InstructionSet.values()).filter(set -> runs(provider, set));
    }

    /** Options to compute there. */
    static LoadOptions.Builder options(InstructionSet set) {
        return LoadOptions.builder().device(DEVICE).instructionSet(DEVICE == Device.CUDA ? null : set);
    }

    private static boolean runs(OpsProvider provider, InstructionSet set) {
        try (Ops ops = provider.create(new OpsOptions(1, set))) {
            return true;
        } catch (BackendUnavailableException e) {
            return false;
        }
    }
}
