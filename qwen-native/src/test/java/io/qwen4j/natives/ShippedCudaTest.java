package io.qwen4j.natives;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.core.ops.OpsOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** The CUDA library as it is shipped, where there may be no card: available, or a cause that says what is missing. */
@DisabledIfSystemProperty(named = "qwen.test.device", matches = "cuda", disabledReason = "the emulated device is not shipped")
class ShippedCudaTest {
    @Test
    void whatIsMissingIsAValue() {
        Optional<Throwable> cause = new CudaOpsProvider().unavailabilityCause();
        boolean built = ShippedCudaTest.class.getClassLoader().getResource(CudaRuntime.platform().resource()) != null;
        if (built) {
            CudaRuntime.instance().cause().ifPresent(c -> {
                throw new AssertionError("the CUDA library was built, but does not load", c);
            });
        }
        if (cause.isEmpty()) {
            new CudaOpsProvider().create(new OpsOptions(1, null)).close();
            return;
        }
        String message = cause.get().getMessage();
        assertTrue(
                built ? message.contains("driver") || message.contains("device") : message.contains("qwen-native-") && message.contains("-gpu.jar"),
                message);
        BackendUnavailableException e =
                assertThrows(BackendUnavailableException.class, () -> new CudaOpsProvider().create(new OpsOptions(1, null)));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void aDirectoryForTheLibraryOfTheCpuNeedNotHaveIt(@TempDir Path directory) throws IOException {
        assertNull(CudaRuntime.directory(null));
        assertNull(CudaRuntime.directory(" "));
        assertNull(CudaRuntime.directory(directory.toString()));
        Files.createFile(directory.resolve(CudaRuntime.platform().libraryFile()));
        assertEquals(directory.toString(), CudaRuntime.directory(directory.toString()));
    }

    @Test
    void nothingOfTheEmulationIsShipped() {
        if (CudaRuntime.instance().cause().isEmpty()) {
            assertFalse(CudaLibrary.emulateDevices(1, 90, 1) == 0, "the shipped library emulates devices");
        }
    }
}
