package io.qwen4j.tinyqwen;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * The files in the jar and how they become files on disk.
 *
 * <p>Every file is written under a temporary name and moved to its own in one step, so that a file of the right size is a whole file.
 * Processes that unpack at the same time move equal files over each other; one that is killed leaves a temporary file, which a later one
 * removes.
 */
record Bundle(String id, List<Item> items) {
    private static final String INDEX = "index";
    private static final String TEMPORARY = ".unpacking";
    private static final Duration ABANDONED = Duration.ofHours(1);

    record Item(String name, long size, String sha256) {}

    /** Reads the index: a line {@code sha256 size name} for each file. */
    static Bundle read() {
        byte[] index;
        try (InputStream in = resource(INDEX)) {
            index = in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        List<Item> items = new ArrayList<>();
        new String(index, StandardCharsets.US_ASCII).lines().forEach(line -> {
            String[] fields = line.split(" ");
            items.add(new Item(fields[2], Long.parseLong(fields[1]), fields[0]));
        });
        return new Bundle(HexFormat.of().formatHex(sha256().digest(index)).substring(0, 16), List.copyOf(items));
    }

    /** Makes the directory whole, if it is not, and returns it. */
    Path unpack(Path directory) throws IOException {
        if (missing(directory).isEmpty()) {
            return directory;
        }
        Files.createDirectories(directory);
        for (Item item : missing(directory)) {
            write(item, directory);
        }
        removeAbandoned(directory);
        return directory;
    }

    Path unpackTemporarily() throws IOException {
        Path directory = Files.createTempDirectory(TinyQwen.NAME + "-");
        // Deleted in reverse order of registration: the directory after its files.
        directory.toFile().deleteOnExit();
        for (Item item : items) {
            directory.resolve(item.name()).toFile().deleteOnExit();
        }
        return unpack(directory);
    }

    private List<Item> missing(Path directory) throws IOException {
        List<Item> missing = new ArrayList<>();
        for (Item item : items) {
            try {
                if (Files.size(directory.resolve(item.name())) != item.size()) {
                    missing.add(item);
                }
            } catch (NoSuchFileException e) {
                missing.add(item);
            }
        }
        return missing;
    }

    private static void write(Item item, Path directory) throws IOException {
        Path target = directory.resolve(item.name());
        Path temporary = Files.createTempFile(directory, item.name() + ".", TEMPORARY);
        try {
            MessageDigest digest = sha256();
            try (InputStream in = resource(item.name()); FileChannel out = FileChannel.open(temporary, StandardOpenOption.WRITE)) {
                byte[] buffer = new byte[1 << 16];
                for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                    digest.update(buffer, 0, n);
                    for (ByteBuffer rest = ByteBuffer.wrap(buffer, 0, n); rest.hasRemaining(); ) {
                        out.write(rest);
                    }
                }
                // After a power cut a file has its size before its contents, unless they are forced first.
                out.force(true);
            }
            String found = HexFormat.of().formatHex(digest.digest());
            if (!found.equals(item.sha256())) {
                throw new IOException("the jar of tiny-qwen is damaged: " + item.name() + " should have SHA-256 " + item.sha256()
                        + ", found " + found);
            }
            move(temporary, target, item);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private static void move(Path temporary, Path target, Item item) throws IOException {
        try {
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException e) {
            Files.move(temporary, target, StandardCopyOption.REPLACE_EXISTING);
        } catch (FileSystemException e) {
            // Windows refuses to replace a file that another process reads; that one is whole then.
            if (!Files.exists(target) || Files.size(target) != item.size()) {
                throw e;
            }
        }
    }

    private static void removeAbandoned(Path directory) throws IOException {
        Instant limit = Instant.now().minus(ABANDONED);
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "*" + TEMPORARY)) {
            for (Path file : files) {
                try {
                    if (Files.getLastModifiedTime(file).toInstant().isBefore(limit)) {
                        Files.deleteIfExists(file);
                    }
                } catch (NoSuchFileException e) {
                    // Another process finished with it between listing and looking.
                    continue;
                }
            }
        }
    }

    private static InputStream resource(String name) throws FileNotFoundException {
        InputStream in = Bundle.class.getResourceAsStream(name);
        if (in == null) {
            throw new FileNotFoundException("the jar of tiny-qwen lacks " + name);
        }
        return in;
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
