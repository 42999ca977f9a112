package io.qwen4j.core.format;

import io.qwen4j.ModelFileException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/**
 * Which files belong to a model's directory.
 *
 * <p>Names that we choose ({@code config.json}) may be links to any regular file: who made the directory chose the target. Names that a
 * file of the model chooses (shards in an index) must be plain, and a link behind such a name must end inside the directory or, as in the
 * cache of the Hugging Face hub, where a model is {@code snapshots/REVISION/} full of links to {@code blobs/}, in that {@code blobs/}.
 */
public final class ModelDirectory {
    private final Path directory;

    /** A directory of that path. */
    public ModelDirectory(Path directory) {
        this.directory = directory;
    }

    /** The directory. */
    public Path path() {
        return directory;
    }

    /** The file of a name chosen by us, whether it exists or not. */
    public Path file(String name) {
        return directory.resolve(name);
    }

    /** Whether there is something of a name chosen by us. */
    public boolean has(String name) {
        return Files.exists(file(name), LinkOption.NOFOLLOW_LINKS);
    }

    /**
     * The file of a name that a file of the model gives.
     *
     * @param name the name
     * @param source the file that gives it
     */
    public Path named(String name, Path source) {
        if (!isPlain(name)) {
            throw FormatError.of(
                    Reason.PATH, source, "expected a plain file name without separators, found \"" + shortened(name) + "\"");
        }
        Path path = directory.resolve(name);
        try {
            Path real = path.toRealPath();
            Path home = directory.toRealPath();
            if (!real.startsWith(home) && !isHubBlob(home, real)) {
                throw FormatError.of(
                        Reason.PATH, source, "the file \"" + name + "\" is a link out of the model's directory, to " + real);
            }
            return path;
        } catch (NoSuchFileException e) {
            throw FormatError.of(Reason.MISSING, source, "the file \"" + name + "\" that it names is missing", e);
        } catch (IOException e) {
            throw FormatError.of(Reason.IO, source, "the file \"" + name + "\" that it names cannot be reached: " + e, e);
        }
    }

    private static boolean isHubBlob(Path home, Path real) {
        Path snapshots = home.getParent();
        return snapshots != null
                && snapshots.endsWith("snapshots")
                && snapshots.getParent() != null
                && snapshots.getParent().resolve("blobs").equals(real.getParent());
    }

    /** Separators of every platform are refused on every platform, as are names of devices with a colon. */
    private static boolean isPlain(String name) {
        return !name.isEmpty()
                && name.length() <= 255
                && !name.equals(".")
                && !name.equals("..")
                && name.chars().noneMatch(c -> c == '/' || c == '\\' || c == ':' || c < 32);
    }

    private static String shortened(String name) {
        return name.length() > 80 ? name.substring(0, 80) + "..." : name;
    }
}
