package io.qwen4j;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.util.ServiceLoader;
import java.util.stream.Stream;

/** The native backend, and the instruction sets on which it runs here. A test without it is reported as skipped. */
final class NativeSets {
    private NativeSets() {}

    static OpsProvider provider() {
        OpsProvider provider = ServiceLoader.load(OpsProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(p -> p.device() == Device.CPU)
                .findFirst()
                .orElseThrow();
        assumeTrue(provider.unavailabilityCause().isEmpty(), () -> "no native kernels to test: " + provider.unavailabilityCause());
        return provider;
    }

    static Stream<InstructionSet> all() {
        OpsProvider provider = provider();
        return Stream.of(InstructionSet.values()).filter(set -> runs(provider, set));
    }

    private static boolean runs(OpsProvider provider, InstructionSet set) {
        try (Ops ops = provider.create(new OpsOptions(1, set))) {
            return true;
        } catch (BackendUnavailableException e) {
            return false;
        }
    }
}
