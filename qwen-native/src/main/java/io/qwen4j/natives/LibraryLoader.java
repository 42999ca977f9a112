package io.qwen4j.natives;

import io.qwen4j.BackendUnavailableException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Finds the native library and loads it: from the directory {@value #DIRECTORY_PROPERTY} if set, else out of the class path.
 *
 * <p>A library from the class path is written into a directory of its own, loaded and deleted again. Nothing is shared between processes or class
 * loaders, so there is no lock to be left behind and no file that another process is still writing; what a killed process left is
 * removed by a later one.
 */
final class LibraryLoader {
    static final String DIRECTORY_PROPERTY = "qwen4j.native.dir";
    static final String DIRECTORY_VARIABLE = "QWEN4J_NATIVE_DIR";

    private static final String PREFIX = "qwen4j-native-";
    private static final int MOST_ATTEMPTS = 100;
    private static final Duration LEFT_BEHIND = Duration.ofHours(1);

    private final NativePlatform platform;
    private final @Nullable String directory;
    private final List<Path> temporary;
    private final ClassLoader classes;
    private final Consumer<String> load;

    /**
     * Makes a loader.
     *
     * @param directory where the library is, or null to take it from the class path
     * @param temporary directories for extraction, tried in order
     * @param load loads a file, as {@link System#load} does
     */
    LibraryLoader(NativePlatform platform, @Nullable String directory, List<Path> temporary, ClassLoader classes, Consumer<String> load) {
        this.platform = platform;
        this.directory = directory;
        this.temporary = temporary;
        this.classes = classes;
        this.load = load;
    }

    static @Nullable String configuredDirectory() {
        String property = System.getProperty(DIRECTORY_PROPERTY);
        return property != null ? property : System.getenv(DIRECTORY_VARIABLE);
    }

    static List<Path> temporaryDirectories() {
        return List.of(
                Path.of(System.getProperty("java.io.tmpdir", "/tmp")), Path.of(System.getProperty("user.home", "."), ".cache", "qwen4j"));
    }

    /**
     * Loads the library.
     *
     * @throws BackendUnavailableException if there is none or it cannot be loaded
     */
    void load() {
        if (directory != null && !directory.isBlank()) {
            loadFrom(Path.of(directory).toAbsolutePath().resolve(platform.libraryFile()));
        } else {
            extractAndLoad();
        }
    }

    private void loadFrom(Path file) {
        if (!Files.isRegularFile(file)) {
            throw new BackendUnavailableException(
                    DIRECTORY_PROPERTY + " (or " + DIRECTORY_VARIABLE + ") is set, but there is no readable file " + file);
        }
        try {
            load.accept(file.toString());
        } catch (UnsatisfiedLinkError e) {
            throw new BackendUnavailableException("cannot load " + file + ", named by " + DIRECTORY_PROPERTY + ": " + e.getMessage(), e);
        }
    }

    private void extractAndLoad() {
        if (classes.getResource(platform.resource()) == null) {
            throw new BackendUnavailableException("there is no native library for " + platform.name() + " on the class path (expected "
                    + platform.resource() + " out of qwen-native-" + platform.name() + ".jar); set " + DIRECTORY_PROPERTY
                    + " to a directory that has " + platform.libraryFile());
        }
        BackendUnavailableException failure = null;
        for (Path candidate : temporary) {
            try {
                extractAndLoad(candidate);
                return;
            } catch (IOException | UnsatisfiedLinkError e) {
                if (failure == null) {
                    failure = new BackendUnavailableException("cannot load the native library from " + candidate + " (" + e
                            + "); the directory must be writable and not mounted noexec: set java.io.tmpdir to another one, or "
                            + DIRECTORY_PROPERTY + " to a directory that has " + platform.libraryFile(), e);
                } else {
                    failure.addSuppressed(new BackendUnavailableException("nor from " + candidate + ": " + e, e));
                }
            }
        }
        throw failure != null ? failure : new BackendUnavailableException("no directory to extract the native library to");
    }

    private void extractAndLoad(Path base) throws IOException {
        Files.createDirectories(base);
        removeLeftBehind(base);
        Path own = createOwn(base);
        Path file = own.resolve(platform.libraryFile());
        try {
            try (InputStream in = classes.getResourceAsStream(platform.resource())) {
                if (in == null) {
                    throw new IOException(platform.resource() + " has gone from the class path");
                }
                Files.copy(in, file);
            }
            load.accept(file.toAbsolutePath().toString());
        } finally {
            // Loaded code stays mapped without its name. Where the platform forbids this (Windows), a later process removes the file.
            remove(own);
        }
    }

    /**
     * A new directory for this user alone. Not {@link Files#createTempDirectory}: the random numbers of its names take 3 % of a cold start, and
     * a name need not be secret where one that exists is not taken.
     */
    private static Path createOwn(Path base) throws IOException {
        boolean posix = base.getFileSystem().supportedFileAttributeViews().contains("posix");
        FileAttribute<?>[] mode =
                posix ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"))} : new FileAttribute<?>[0];
        for (int attempt = 1; ; attempt++) {
            try {
                return Files.createDirectory(base.resolve(PREFIX + ProcessHandle.current().pid() + "-" + System.nanoTime()), mode);
            } catch (FileAlreadyExistsException e) {
                if (attempt == MOST_ATTEMPTS) {
                    throw e;
                }
            }
        }
    }

    private void removeLeftBehind(Path base) {
        Instant limit = Instant.now().minus(LEFT_BEHIND);
        try (DirectoryStream<Path> found = Files.newDirectoryStream(base, PREFIX + "*")) {
            for (Path old : found) {
                if (Files.getLastModifiedTime(old).toInstant().isBefore(limit)) {
                    remove(old);
                }
            }
        } catch (IOException | java.nio.file.DirectoryIteratorException e) {
            // Cleaning up after others is a courtesy; not being able to is no reason to fail.
        }
    }

    private void remove(Path own) {
        try {
            Files.deleteIfExists(own.resolve(platform.libraryFile()));
            Files.deleteIfExists(own);
        } catch (IOException e) {
            // In use or another user's: a later process tries again.
        }
    }
}
