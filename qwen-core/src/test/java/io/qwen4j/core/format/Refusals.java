package io.qwen4j.core.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;

/** The oracle of bad files: refused for the reason, by name, in bounded time and memory, with nothing left open. */
final class Refusals {
    private static final Duration TIME = Duration.ofSeconds(20);
    private static final long MEMORY = 64L << 20;

    private Refusals() {}

    /** Opens a model that must be refused. */
    static void assertRefused(Path model, Reason reason, String item) {
        assertRefused(model, reason, item, MEMORY);
    }

    /** Opens a model that must be refused after at most so many bytes of heap allocation. */
    static void assertRefused(Path model, Reason reason, String item, long memory) {
        ModelFileException e = assertTimeoutPreemptively(TIME, () -> {
            var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            long before = threads.getCurrentThreadAllocatedBytes();
            ModelFileException refused = assertThrows(
                    ModelFileException.class, () -> CheckpointReader.open(model, ModelLimits.DEFAULT).close());
            long allocated = threads.getCurrentThreadAllocatedBytes() - before;
            assertTrue(allocated < memory, "allocated " + allocated + " bytes");
            return refused;
        });
        assertEquals(reason, e.reason(), e.getMessage());
        assertTrue(e.getMessage().contains(item), e.getMessage());
        assertFalse(e.getMessage().contains("\n"), e.getMessage());
        assertTrue(e.getMessage().length() < 2000, "a message of " + e.getMessage().length() + " characters");
        assertEquals(List.of(), openBelow(model.getParent()));
    }

    /** Files below a directory that this process has open; known on Linux only. */
    static List<Path> openBelow(Path directory) {
        Path descriptors = Path.of("/proc/self/fd");
        if (!Files.isDirectory(descriptors)) {
            return List.of();
        }
        try (Stream<Path> all = Files.list(descriptors)) {
            return all.flatMap(Refusals::target).filter(p -> p.startsWith(directory)).toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The descriptor of the listing itself is gone when it is looked at. */
    private static Stream<Path> target(Path descriptor) {
        try {
            return Stream.of(Files.readSymbolicLink(descriptor));
        } catch (IOException e) {
            return Stream.empty();
        }
    }
}
