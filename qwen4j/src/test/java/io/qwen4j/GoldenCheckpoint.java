package io.qwen4j;

import io.qwen4j.core.format.safetensors.SafetensorsEntry;
import io.qwen4j.core.format.safetensors.SafetensorsFile;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;

/** A golden checkpoint of the core's tests, unpacked into a directory. */
record GoldenCheckpoint(Path directory) {
    static GoldenCheckpoint unpack(String name, Path directory) throws IOException, URISyntaxException {
        Path golden = Path.of(GoldenCheckpoint.class.getResource("/golden/" + name).toURI());
        try (Stream<Path> sources = Files.list(golden)) {
            for (Path source : (Iterable<Path>) sources::iterator) {
                String file = source.getFileName().toString();
                boolean packed = file.endsWith(".gz");
                try (InputStream bytes = Files.newInputStream(source);
                        InputStream in = packed ? new GZIPInputStream(bytes) : bytes) {
                    Files.copy(in, directory.resolve(packed ? file.substring(0, file.length() - 3) : file));
                }
            }
        }
        return new GoldenCheckpoint(directory);
    }

    /** A tensor of the expected values. */
    int[] ints(String tensor) {
        ByteBuffer bytes = bytes(tensor);
        int[] values = new int[bytes.remaining() / 4];
        bytes.asIntBuffer().get(values);
        return values;
    }

    /** A tensor of the expected values. */
    float[] floats(String tensor) {
        ByteBuffer bytes = bytes(tensor);
        float[] values = new float[bytes.remaining() / 4];
        bytes.asFloatBuffer().get(values);
        return values;
    }

    private ByteBuffer bytes(String tensor) {
        try (SafetensorsFile in = SafetensorsFile.open(directory.resolve("golden.safetensors"), ModelLimits.DEFAULT)) {
            SafetensorsEntry entry = in.entries().get(tensor);
            ByteBuffer bytes = ByteBuffer.allocate((int) entry.bytes());
            in.file().read(in.start(entry), bytes);
            return bytes.flip().order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    static double deviation(float[] values) {
        double sum = 0;
        double squares = 0;
        for (float v : values) {
            sum += v;
            squares += (double) v * v;
        }
        double mean = sum / values.length;
        return Math.sqrt(squares / values.length - mean * mean);
    }
}
