package io.qwen4j.natives;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.qwen4j.Device;
import io.qwen4j.core.ops.OpsProvider;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.ServiceLoader;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** Says once whether the emulated device is there; the other tests of it are skipped without. */
@EnabledIfSystemProperty(named = "qwen.test.device", matches = "cuda", disabledReason = "of the run on an emulated device")
class CudaLibraryTest {
    private static final Path NOT_BUILT = Path.of("target", "native", "not-built.txt");

    @Test
    void theEmulatedLibraryWasBuiltAndLoads() throws IOException {
        Optional<Throwable> cause = CudaRuntime.instance().cause();
        if (Boolean.getBoolean("qwen.native.skip")) {
            assertTrue(cause.isPresent(), "-Dqwen.native.skip=true, yet there is a native library; run mvn clean first");
        } else if (Files.exists(NOT_BUILT)) {
            fail("the emulated device was not built: " + Files.readString(NOT_BUILT).strip());
        } else {
            cause.ifPresent(c -> fail("the library of the emulated device does not load", c));
        }
    }

    @Test
    void theProviderIsFoundAndComesFirst() {
        OpsProvider provider = ServiceLoader.load(OpsProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(p -> p.device() == Device.CUDA)
                .findFirst()
                .orElseThrow();
        assertTrue(provider.priority() > new CpuOpsProvider().priority());
        assertEquals(CudaRuntime.instance().cause(), provider.unavailabilityCause());
    }
}
