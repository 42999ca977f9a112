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

/** The one test that fails where the native library was not built or does not load, unless the build was told to do without. */
class NativeLibraryTest {
    private static final Path NOT_BUILT = Path.of("target", "native", "not-built.txt");

    @Test
    void nativeLibraryWasBuiltAndLoads() throws IOException {
        Optional<Throwable> cause = NativeRuntime.instance().cause();
        if (Boolean.getBoolean("qwen.native.skip")) {
            assertTrue(cause.isPresent(), "-Dqwen.native.skip=true, yet there is a native library; run mvn clean first");
        } else if (Files.exists(NOT_BUILT)) {
            fail("the native library was not built: " + Files.readString(NOT_BUILT).strip()
                    + " (-Dqwen.native.skip=true tests the build without it)");
        } else {
            cause.ifPresent(c -> fail("the native library does not load", c));
        }
    }

    @Test
    void theProviderIsFoundAndSaysTheSame() {
        OpsProvider provider = ServiceLoader.load(OpsProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(p -> p.device() == Device.CPU)
                .findFirst()
                .orElseThrow();
        assertEquals(100, provider.priority());
        assertEquals(NativeRuntime.instance().cause(), provider.unavailabilityCause());
    }
}
