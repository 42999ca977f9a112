package io.qwen4j.natives;

import io.qwen4j.BackendUnavailableException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Whether the CUDA library is there and can be loaded: a value with a cause, found out once. Whether there is a device is asked each time. */
final class CudaRuntime {
    private static final String LIBRARY_FILE = "libqwen4j-cuda.so";
    private static final int MOST_VERSION_BYTES = 128;

    private final @Nullable Throwable cause;

    private CudaRuntime(@Nullable Throwable cause) {
        this.cause = cause;
    }

    private static final class Holder {
        private static final CudaRuntime INSTANCE = load();
    }

    /** The library of this process. */
    static CudaRuntime instance() {
        return Holder.INSTANCE;
    }

    /** Where classifier jars have it: {@code linux-x86_64-gpu}. */
    static NativePlatform platform() {
        return new NativePlatform(NativePlatform.current().name() + "-gpu", LIBRARY_FILE);
    }

    /** The configured directory if it has the library, else null for the class path: a directory for the CPU's library need not have this one. */
    static @Nullable String directory(@Nullable String configured) {
        boolean there = configured != null && !configured.isBlank() && Files.exists(Path.of(configured, LIBRARY_FILE));
        return there ? configured : null;
    }

    private static CudaRuntime load() {
        try {
            new LibraryLoader(
                            platform(), directory(LibraryLoader.configuredDirectory()), LibraryLoader.temporaryDirectories(),
                            CudaRuntime.class.getClassLoader(), System::load)
                    .load();
            NativeRuntime.checkVersion(libraryVersion(), NativeRuntime.javaVersion());
            return new CudaRuntime(null);
        } catch (UnsatisfiedLinkError e) {
            return new CudaRuntime(new BackendUnavailableException(
                    "the CUDA library lacks a function of version " + NativeRuntime.javaVersion() + ": " + e.getMessage(), e));
        } catch (BackendUnavailableException | SecurityException e) {
            return new CudaRuntime(e);
        }
    }

    private static String libraryVersion() {
        ByteBuffer text = ByteBuffer.allocateDirect(MOST_VERSION_BYTES);
        text.limit(CudaLibrary.version(text, MOST_VERSION_BYTES));
        return StandardCharsets.UTF_8.decode(text).toString();
    }

    Optional<Throwable> cause() {
        return Optional.ofNullable(cause);
    }
}
