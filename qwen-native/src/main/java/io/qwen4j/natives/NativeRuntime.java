package io.qwen4j.natives;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.InstructionSet;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Whether the native library works here: a value with a cause, found out once. */
final class NativeRuntime {
    private static final String VERSION_RESOURCE = "version.txt";
    private static final int MOST_VERSION_BYTES = 128;

    private final @Nullable Throwable cause;
    private final InstructionSet best;

    private NativeRuntime(@Nullable Throwable cause, InstructionSet best) {
        this.cause = cause;
        this.best = best;
    }

    private static final class Holder {
        private static final NativeRuntime INSTANCE = load(
                new LibraryLoader(
                        NativePlatform.current(),
                        LibraryLoader.configuredDirectory(),
                        LibraryLoader.temporaryDirectories(),
                        NativeRuntime.class.getClassLoader(),
                        System::load));
    }

    /** The library of this process. */
    static NativeRuntime instance() {
        return Holder.INSTANCE;
    }

    private static NativeRuntime load(LibraryLoader loader) {
        try {
            loader.load();
            checkVersion(libraryVersion(), javaVersion());
            return new NativeRuntime(null, InstructionSet.values()[NativeLibrary.bestTarget()]);
        } catch (UnsatisfiedLinkError e) {
            return new NativeRuntime(
                    new BackendUnavailableException("the native library lacks a function of version " + javaVersion() + ": " + e.getMessage(), e),
                    InstructionSet.BASELINE);
        } catch (BackendUnavailableException | SecurityException e) {
            return new NativeRuntime(e, InstructionSet.BASELINE);
        }
    }

    /** Refuses a library of another version. */
    static void checkVersion(String library, String java) {
        if (!library.equals(java)) {
            throw new BackendUnavailableException("the native library has version " + library + ", the Java classes have " + java
                    + "; take both from one release, and look at " + LibraryLoader.DIRECTORY_PROPERTY);
        }
    }

    private static String libraryVersion() {
        ByteBuffer text = ByteBuffer.allocateDirect(MOST_VERSION_BYTES);
        text.limit(NativeLibrary.version(text, MOST_VERSION_BYTES));
        return StandardCharsets.UTF_8.decode(text).toString();
    }

    static String javaVersion() {
        try (InputStream in = NativeRuntime.class.getResourceAsStream(VERSION_RESOURCE)) {
            if (in == null) {
                return "unknown";
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
        } catch (IOException e) {
            return "unknown";
        }
    }

    Optional<Throwable> cause() {
        return Optional.ofNullable(cause);
    }

    /** The best instruction set of this machine that has kernels. */
    InstructionSet best() {
        return best;
    }
}
