package io.qwen4j.tinyqwen;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The bundled small model as a directory on disk.
 *
 * <pre>{@code
 * try (QwenModel model = QwenModel.load(TinyQwen.directory())) {
 *     model.chat("What is the capital of Japan?").text().forEach(System.out::print);
 * }
 * }</pre>
 */
public final class TinyQwen {
    /** The model's name, which is also what its directory's name begins with. */
    public static final String NAME = "tiny-qwen";

    /** Names the directory under which unpacked models are kept, instead of the user's cache directory. */
    private static final String CACHE_PROPERTY = "qwen4j.cache";

    private TinyQwen() {}

    /**
     * The model's directory, in the layout of Hugging Face. The first call of a user unpacks 8.5 MB into {@code qwen4j} in the cache
     * directory ({@code $XDG_CACHE_HOME}, else {@code ~/.cache}); later calls of any process find it there. Where no such directory can be
     * written, a directory for temporary files is used and deleted when the JVM ends. The system property {@code qwen4j.cache} names another
     * place.
     *
     * @return the directory
     * @throws UncheckedIOException if the model cannot be unpacked anywhere
     */
    public static Path directory() {
        Bundle bundle = Bundle.read();
        List<IOException> failures = new ArrayList<>();
        for (Path cache : caches(System.getProperty(CACHE_PROPERTY), System.getenv("XDG_CACHE_HOME"), System.getProperty("user.home"))) {
            try {
                return bundle.unpack(cache.resolve(NAME + "-" + bundle.id()));
            } catch (IOException e) {
                failures.add(e);
            }
        }
        try {
            return bundle.unpackTemporarily();
        } catch (IOException e) {
            failures.forEach(e::addSuppressed);
            throw new UncheckedIOException("tiny-qwen cannot be unpacked, neither into the user's cache directory nor into "
                    + System.getProperty("java.io.tmpdir") + "; name a writable directory with -D" + CACHE_PROPERTY + "=…", e);
        }
    }

    static List<Path> caches(@Nullable String property, @Nullable String xdg, @Nullable String home) {
        if (property != null && !property.isEmpty()) {
            return List.of(Path.of(property));
        }
        // The XDG specification has relative paths ignored.
        if (xdg != null && Path.of(xdg).isAbsolute()) {
            return List.of(Path.of(xdg, "qwen4j"));
        }
        // "?" is what the JVM says of a user without a home directory.
        return home == null || home.isEmpty() || home.equals("?") ? List.of() : List.of(Path.of(home, ".cache", "qwen4j"));
    }
}
