package io.qwen4j.natives;

import io.qwen4j.BackendUnavailableException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
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

    private static CudaRuntime load() {
        try {
            new LibraryLoader(
                            platform(), LibraryLoader.configuredDirectory(), LibraryLoader.temporaryDirectories(),
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
