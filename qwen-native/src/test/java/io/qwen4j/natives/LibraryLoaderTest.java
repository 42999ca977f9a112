package io.qwen4j.natives;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.BackendUnavailableException;
import io.qwen4j.InstructionSet;
import io.qwen4j.core.ops.OpsOptions;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LibraryLoaderTest {
    private static final NativePlatform PLATFORM = new NativePlatform("test-x86_64", "libqwen4j.so");

    @TempDir
    Path directory;

    /** A class path that has a library of four bytes. */
    private ClassLoader classPath() throws IOException {
        Path root = directory.resolve("jar");
        Path file = root.resolve(PLATFORM.resource());
        Files.createDirectories(file.getParent());
        Files.write(file, new byte[] {1, 2, 3, 4});
        return new URLClassLoader(new URL[] {root.toUri().toURL()}, null);
    }

    private LibraryLoader loader(@Nullable String configured, List<Path> temporary, Consumer<String> load) throws IOException {
        return new LibraryLoader(PLATFORM, configured, temporary, classPath(), load);
    }

    @Test
    void extractsLoadsAndRemoves() throws IOException {
        Path tmp = directory.resolve("tmp");
        List<String> loaded = new ArrayList<>();
        loader(null, List.of(tmp), file -> {
                    assertEquals(4, Path.of(file).toFile().length());
                    loaded.add(file);
                })
                .load();
        assertEquals(1, loaded.size());
        assertFalse(Files.exists(Path.of(loaded.get(0))));
        try (var left = Files.list(tmp)) {
            assertEquals(0, left.count(), "nothing is left behind");
        }
    }

    @Test
    void whatAKilledProcessLeftIsRemovedLater() throws IOException {
        Path old = Files.createDirectories(directory.resolve("tmp/qwen4j-native-123"));
        Files.write(old.resolve("libqwen4j.so"), new byte[] {1});
        Files.setLastModifiedTime(old, FileTime.from(Instant.now().minusSeconds(7200)));
        Path young = Files.createDirectories(directory.resolve("tmp/qwen4j-native-456"));
        loader(null, List.of(directory.resolve("tmp")), file -> {}).load();
        assertFalse(Files.exists(old));
        assertTrue(Files.exists(young), "another process may be extracting just now");
    }

    @Test
    void aDirectoryMountedNoexecLeadsToTheNextAndThenToACauseThatNamesAll() throws IOException {
        Path first = directory.resolve("first");
        Path second = directory.resolve("second");
        List<String> tried = new ArrayList<>();
        loader(null, List.of(first, second), file -> {
                    tried.add(file);
                    if (file.startsWith(first.toString())) {
                        throw new UnsatisfiedLinkError("failed to map segment from shared object: Operation not permitted");
                    }
                })
                .load();
        assertEquals(2, tried.size());

        BackendUnavailableException e = assertThrows(
                BackendUnavailableException.class,
                () -> loader(null, List.of(first, second), file -> {
                            throw new UnsatisfiedLinkError("failed to map segment from shared object: Operation not permitted");
                        })
                        .load());
        assertTrue(e.getMessage().contains(first.toString()), e.getMessage());
        assertTrue(e.getMessage().contains("noexec") && e.getMessage().contains("qwen4j.native.dir"), e.getMessage());
        assertTrue(e.getSuppressed()[0].getMessage().contains(second.toString()));
    }

    @Test
    void aTemporaryDirectoryThatCannotBeWrittenIsNamed() throws IOException {
        // A file where a directory should be: also root cannot write into that.
        Path file = Files.createFile(directory.resolve("occupied"));
        BackendUnavailableException e = assertThrows(
                BackendUnavailableException.class, () -> loader(null, List.of(file.resolve("tmp")), f -> {}).load());
        assertTrue(e.getMessage().contains("occupied") && e.getMessage().contains("java.io.tmpdir"), e.getMessage());
    }

    @Test
    void theConfiguredDirectoryComesFirst() throws IOException {
        Path own = Files.createDirectories(directory.resolve("own"));
        BackendUnavailableException e =
                assertThrows(BackendUnavailableException.class, () -> loader(own.toString(), List.of(directory), f -> {}).load());
        assertTrue(e.getMessage().contains(own.resolve("libqwen4j.so").toString()), e.getMessage());
        Files.write(own.resolve("libqwen4j.so"), new byte[] {1});
        List<String> loaded = new ArrayList<>();
        loader(own.toString(), List.of(directory), loaded::add).load();
        assertEquals(List.of(own.resolve("libqwen4j.so").toString()), loaded);
    }

    @Test
    void aFileThatIsNoLibraryIsACauseNotACrash() throws IOException {
        Path own = Files.createDirectories(directory.resolve("own"));
        Files.writeString(own.resolve("libqwen4j.so"), "this is no library");
        BackendUnavailableException e = assertThrows(
                BackendUnavailableException.class, () -> loader(own.toString(), List.of(directory), System::load).load());
        assertTrue(e.getMessage().contains("libqwen4j.so"), e.getMessage());
    }

    @Test
    void aPlatformWithoutLibrarySaysSo() throws IOException {
        LibraryLoader loader =
                new LibraryLoader(NativePlatform.of("Linux", "aarch64"), null, List.of(directory), classPath(), f -> {});
        BackendUnavailableException e = assertThrows(BackendUnavailableException.class, loader::load);
        assertTrue(e.getMessage().contains("linux-arm64"), e.getMessage());
    }

    @Test
    void aLibraryOfAnotherVersionIsRefused() {
        NativeRuntime.checkVersion("1.2", "1.2");
        BackendUnavailableException e =
                assertThrows(BackendUnavailableException.class, () -> NativeRuntime.checkVersion("1.1", "1.2"));
        assertTrue(e.getMessage().contains("1.1") && e.getMessage().contains("1.2"), e.getMessage());
        assertFalse(NativeRuntime.javaVersion().contains("$"), NativeRuntime.javaVersion());
    }

    @ParameterizedTest
    @CsvSource({
        "Linux, amd64, linux-x86_64, libqwen4j.so",
        "Linux, aarch64, linux-arm64, libqwen4j.so",
        "Mac OS X, aarch64, macosx-arm64, libqwen4j.dylib",
        "Windows 11, amd64, windows-x86_64, qwen4j.dll",
        "FreeBSD, riscv64, freebsd-riscv64, libqwen4j.so",
    })
    void platformsHaveTheNamesOfJarClassifiers(String os, String arch, String name, String file) {
        assertEquals(new NativePlatform(name, file), NativePlatform.of(os, arch));
    }

    @Test
    void theInstructionSetComesFromOptionsThenPropertyThenMachine() {
        OpsOptions none = new OpsOptions(1, null);
        assertEquals(InstructionSet.AVX2, CpuOpsProvider.choose(none, null, InstructionSet.AVX2));
        assertEquals(InstructionSet.BASELINE, CpuOpsProvider.choose(none, " baseline ", InstructionSet.AVX2));
        assertEquals(
                InstructionSet.AVX2, CpuOpsProvider.choose(new OpsOptions(1, InstructionSet.AVX2), "baseline", InstructionSet.VNNI));
        BackendUnavailableException above = assertThrows(
                BackendUnavailableException.class, () -> CpuOpsProvider.choose(none, "vnni", InstructionSet.AVX2));
        assertTrue(above.getMessage().contains("VNNI") && above.getMessage().contains("AVX2"), above.getMessage());
        assertThrows(BackendUnavailableException.class, () -> CpuOpsProvider.choose(none, "avx1024", InstructionSet.VNNI));
    }
}
