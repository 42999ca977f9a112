package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.InstructionSet;
import io.qwen4j.LoadOptions;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.JavaOpsProvider;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BackendsTest {
    private final List<String> problems = new ArrayList<>();

    private static OpsProvider provider(Optional<Throwable> cause, Ops ops) {
        return new OpsProvider() {
            @Override
            public Device device() {
                return Device.CPU;
            }

            @Override
            public int priority() {
                return 100;
            }

            @Override
            public Optional<Throwable> unavailabilityCause() {
                return cause;
            }

            @Override
            public Ops create(OpsOptions options) {
                return ops;
            }
        };
    }

    private static Settings settings(Device device) {
        return new Settings(device, 1, null, ActivationPrecision.INT8);
    }

    @Test
    void autoTakesTheBestThatWorks() {
        Ops cpu = new JavaOps(new OpsOptions(1, null));
        assertSame(cpu, Backends.open(settings(Device.AUTO), List.of(new JavaOpsProvider(), provider(Optional.empty(), cpu)), problems));
        assertEquals(List.of(), problems);
        Ops other = Backends.open(settings(Device.JAVA), List.of(provider(Optional.empty(), cpu), new JavaOpsProvider()), problems);
        assertTrue(other != cpu && other.description().startsWith("java"), other.description());
        cpu.close();
        other.close();
    }

    @Test
    void autoSaysWhyTheBestIsNotUsed() {
        UnsatisfiedLinkError cause = new UnsatisfiedLinkError("libqwen.so: no such file");
        OpsProvider broken = provider(Optional.of(cause), new JavaOps(new OpsOptions(1, null)));
        Backends.open(settings(Device.AUTO), List.of(broken, new JavaOpsProvider()), problems).close();
        assertEquals(List.of("cpu (libqwen.so: no such file)"), problems);
        problems.clear();
        Backends.open(settings(Device.AUTO), List.of(new JavaOpsProvider()), problems).close();
        assertTrue(problems.get(0).contains("qwen-native"), problems.toString());
    }

    @Test
    void forcedBackendIsUsedOrRefused() {
        UnsatisfiedLinkError cause = new UnsatisfiedLinkError("libqwen.so: no such file");
        OpsProvider broken = provider(Optional.of(cause), new JavaOps(new OpsOptions(1, null)));
        BackendUnavailableException e = assertThrows(BackendUnavailableException.class,
                () -> Backends.open(settings(Device.CPU), List.of(broken, new JavaOpsProvider()), problems));
        assertSame(cause, e.getCause());
        assertThrows(BackendUnavailableException.class,
                () -> Backends.open(settings(Device.CPU), List.of(new JavaOpsProvider()), problems));
    }

    /** A backend with a memory of its own, in front of another one. */
    private static Ops onDevice(Ops ops) {
        return (Ops) java.lang.reflect.Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (p, method, arguments) ->
                switch (method.getName()) {
                    case "hostMemory" -> false;
                    case "description" -> "cuda, device 0";
                    default -> method.invoke(ops, arguments);
                });
    }

    @Test
    void aDeviceWithTooLittleMemoryMakesRoomForTheHostUnlessItWasAskedFor() {
        JavaOps behind = new JavaOps(new OpsOptions(1, null));
        Ops device = onDevice(behind);
        InsufficientMemoryException cause = new InsufficientMemoryException("the model does not fit", 9, 5);
        assertSame(cause, assertThrows(InsufficientMemoryException.class, () -> Backends.openOnHost(settings(Device.CUDA), device, cause)));
        assertSame(cause, assertThrows(InsufficientMemoryException.class, () -> Backends.openOnHost(settings(Device.AUTO), behind, cause)));
        Ops cpu = new JavaOps(new OpsOptions(1, null));
        List<OpsProvider> providers = List.of(provider(Optional.empty(), cpu), new JavaOpsProvider());
        assertSame(cpu, Backends.openOnHost(settings(Device.AUTO), device, cause, providers, problems));
        assertEquals(List.of("cuda, device 0 (the model does not fit (needed: 9 bytes, available: 5 bytes))"), problems);
        cpu.close();
    }

    private static Settings of(LoadOptions options, Map<String, String> properties, Map<String, String> environment) {
        return Settings.of(options, properties::get, environment::get);
    }

    @Test
    void optionsComeBeforePropertiesBeforeEnvironment() {
        Map<String, String> properties = Map.of("qwen4j.device", "java", "qwen4j.threads", " 3 ", "qwen4j.isa", "avx2");
        Map<String, String> environment = Map.of("QWEN4J_DEVICE", "cpu", "QWEN4J_THREADS", "5", "QWEN4J_ISA", "vnni");
        LoadOptions set = LoadOptions.builder().device(Device.CPU).threads(7).instructionSet(InstructionSet.BASELINE).build();
        assertEquals(new Settings(Device.CPU, 7, InstructionSet.BASELINE, ActivationPrecision.INT8), of(set, properties, environment));
        assertEquals(new Settings(Device.JAVA, 3, InstructionSet.AVX2, ActivationPrecision.INT8), of(LoadOptions.DEFAULT, properties, environment));
        assertEquals(new Settings(Device.CPU, 5, InstructionSet.VNNI, ActivationPrecision.INT8), of(LoadOptions.DEFAULT, Map.of(), environment));
        Settings none = of(LoadOptions.DEFAULT, Map.of("qwen4j.device", ""), Map.of());
        assertEquals(Device.AUTO, none.device());
        assertEquals(Runtime.getRuntime().availableProcessors(), none.threads());
        assertNull(none.instructionSet());
    }

    @ParameterizedTest
    @CsvSource({"qwen4j.device,gpu", "qwen4j.threads,0", "qwen4j.threads,-1", "qwen4j.threads,1025", "qwen4j.threads,x", "qwen4j.isa,sse9"})
    void wrongValuesAreNamed(String property, String value) {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> of(LoadOptions.DEFAULT, Map.of(property, value), Map.of()));
        assertTrue(e.getMessage().contains(property) && e.getMessage().contains(value), e.getMessage());
    }
}
