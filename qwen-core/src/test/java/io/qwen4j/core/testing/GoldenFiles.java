package io.qwen4j.core.testing;

import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.safetensors.SafetensorsEntry;
import io.qwen4j.core.format.safetensors.SafetensorsFile;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;

/**
 * The small checkpoints below {@code golden/} in the test resources, each with {@code golden.safetensors}: {@code input_ids} [T] I32,
 * {@code logits} [T, V] F32 and {@code states} [L + 1, T, D] F32, computed in double precision by an independent implementation.
 *
 * <p>{@code dense-gqa7} has 7 query heads per kv head and its own head; {@code dense-tied} has 14 heads, 2 kv heads, a tied head and two
 * shards; {@code yarn} and {@code yarn-new-keys} have rope scaling, {@code dual-chunk} and {@code dual-chunk-scaled} dual chunk attention
 * with chunks of 24 tokens; {@code reward} and {@code process-reward} have reward heads, and their golden files {@code reward} [T, outputs]
 * F32, too; {@code tiny-qwen} has everything but weights.
 */
public final class GoldenFiles {
    private GoldenFiles() {}

    /** Unpacks a golden directory, for instance {@code dense-gqa7}, below a directory and returns it. */
    public static Path unpack(String name, Path parent) {
        Path target = parent.resolve(name);
        try (Stream<Path> sources = Files.list(resource("golden/" + name))) {
            Files.createDirectories(target);
            for (Path source : (Iterable<Path>) sources::iterator) {
                String file = source.getFileName().toString();
                if (file.endsWith(".gz")) {
                    Path unpacked = target.resolve(file.substring(0, file.length() - 3));
                    try (InputStream in = new GZIPInputStream(Files.newInputStream(source))) {
                        Files.copy(in, unpacked);
                    }
                } else {
                    Files.copy(source, target.resolve(file));
                }
            }
            return target;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A test resource as a path. */
    public static Path resource(String name) {
        URL url = GoldenFiles.class.getClassLoader().getResource(name);
        if (url == null) {
            throw new IllegalArgumentException("no test resource " + name);
        }
        try {
            URI uri = url.toURI();
            return Path.of(uri);
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** The values of an F32 tensor of a safetensors file, row-major. */
    public static float[] floats(Path file, String tensor) {
        ByteBuffer bytes = bytes(file, tensor, "F32");
        float[] values = new float[bytes.remaining() / 4];
        bytes.asFloatBuffer().get(values);
        return values;
    }

    /** The values of an I32 tensor of a safetensors file, row-major. */
    public static int[] ints(Path file, String tensor) {
        ByteBuffer bytes = bytes(file, tensor, "I32");
        int[] values = new int[bytes.remaining() / 4];
        bytes.asIntBuffer().get(values);
        return values;
    }

    /** The values of a U8 tensor of a safetensors file, row-major. */
    public static byte[] unsignedBytes(Path file, String tensor) {
        ByteBuffer bytes = bytes(file, tensor, "U8");
        byte[] values = new byte[bytes.remaining()];
        bytes.get(values);
        return values;
    }

    /** The shape of a tensor of a safetensors file. */
    public static List<Long> shape(Path file, String tensor) {
        try (SafetensorsFile in = SafetensorsFile.open(file, ModelLimits.DEFAULT)) {
            return entry(in, tensor).shape();
        }
    }

    private static ByteBuffer bytes(Path file, String tensor, String dtype) {
        try (SafetensorsFile in = SafetensorsFile.open(file, ModelLimits.DEFAULT)) {
            SafetensorsEntry entry = entry(in, tensor);
            if (!entry.dtype().equals(dtype)) {
                throw new IllegalArgumentException(tensor + " is " + entry.dtype());
            }
            ByteBuffer bytes = ByteBuffer.allocate((int) entry.bytes()).order(ByteOrder.LITTLE_ENDIAN);
            in.file().read(in.start(entry), bytes);
            return bytes.flip().order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    private static SafetensorsEntry entry(SafetensorsFile in, String tensor) {
        SafetensorsEntry entry = in.entries().get(tensor);
        if (entry == null) {
            throw new IllegalArgumentException("no tensor " + tensor + " in " + in.entries().keySet());
        }
        return entry;
    }
}
