package io.qwen4j.core.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;
import io.qwen4j.core.testing.TinyCheckpoints;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files that change between opening and reading, and reading from many threads. */
class ModelFileTest {
    private static final String TENSOR = "model.embed_tokens.weight";

    @TempDir
    Path temp;

    private Path model;
    private Path file;

    @BeforeEach
    void write() {
        model = TinyCheckpoints.directory(temp.resolve("m"), TinyCheckpoints.config(true), WeightType.F32, 1);
        file = model.resolve("model.safetensors");
    }

    private static ModelFileException readAll(Checkpoint c) {
        return assertThrows(ModelFileException.class, () -> TinyCheckpoints.bytes(c.tensor(TENSOR).orElseThrow()));
    }

    @Test
    void namesFileThatWasCut() throws IOException {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            try (var out = new RandomAccessFile(file.toFile(), "rw")) {
                out.setLength(5000);
            }
            ModelFileException e = readAll(c);
            assertEquals(Reason.TRUNCATED, e.reason());
            assertEquals(file, e.file());
            assertTrue(e.getMessage().contains("5000"), e.getMessage());
        }
    }

    @Test
    void namesFileThatGrew() throws IOException {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            try (var out = new RandomAccessFile(file.toFile(), "rw")) {
                out.setLength(out.length() + 1);
            }
            assertEquals(Reason.IO, readAll(c).reason());
        }
    }

    @Test
    void namesFileThatWasOverwritten() throws IOException {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            byte[] bytes = Files.readAllBytes(file);
            bytes[bytes.length - 1]++;
            try (var out = new RandomAccessFile(file.toFile(), "rw")) {
                out.write(bytes);
            }
            // The clock of a file system is coarser than this test.
            Files.setLastModifiedTime(file, FileTime.fromMillis(System.currentTimeMillis() + 5000));
            ModelFileException e = readAll(c);
            assertEquals(Reason.IO, e.reason());
            assertTrue(e.getMessage().contains("changed while it was read"), e.getMessage());
        }
    }

    @Test
    void goesOnWithTheOldFileWhenItsNameIsReplaced() throws IOException {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            byte[] before = TinyCheckpoints.bytes(c.tensor(TENSOR).orElseThrow());
            Path other = temp.resolve("other");
            Files.write(other, new byte[10]);
            Files.move(other, file, StandardCopyOption.REPLACE_EXISTING);
            assertTrue(Arrays.equals(before, TinyCheckpoints.bytes(c.tensor(TENSOR).orElseThrow())));
            Files.delete(file);
            assertTrue(Arrays.equals(before, TinyCheckpoints.bytes(c.tensor(TENSOR).orElseThrow())));
        }
    }

    @Test
    void refusesReadingAfterClose() {
        Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT);
        c.close();
        c.close();
        assertEquals(Reason.IO, readAll(c).reason());
    }

    @Test
    void refusesRangesOutsideOfTheTensor() {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            TensorSource tensor = c.tensor(TENSOR).orElseThrow();
            for (long offset : new long[] {-1, tensor.byteSize() - 3, Long.MAX_VALUE}) {
                assertThrows(IndexOutOfBoundsException.class, () -> tensor.read(offset, ByteBuffer.allocate(4)));
            }
            tensor.read(tensor.byteSize() - 4, ByteBuffer.allocate(4));
        }
    }

    @Test
    void readsFromManyThreads() throws InterruptedException {
        try (Checkpoint c = CheckpointReader.open(model, ModelLimits.DEFAULT)) {
            TensorSource tensor = c.tensor(TENSOR).orElseThrow();
            byte[] whole = TinyCheckpoints.bytes(tensor);
            AtomicInteger wrong = new AtomicInteger();
            List<Thread> threads = java.util.stream.IntStream.range(0, 8)
                    .mapToObj(seed -> new Thread(() -> {
                        Random random = new Random(seed);
                        for (int i = 0; i < 500; i++) {
                            int from = random.nextInt(whole.length);
                            ByteBuffer part = ByteBuffer.allocate(random.nextInt(whole.length - from));
                            tensor.read(from, part);
                            if (!part.flip().equals(ByteBuffer.wrap(whole, from, part.limit()))) {
                                wrong.incrementAndGet();
                            }
                        }
                    }))
                    .toList();
            threads.forEach(Thread::start);
            for (Thread thread : threads) {
                thread.join();
            }
            assertEquals(0, wrong.get());
        }
    }
}
