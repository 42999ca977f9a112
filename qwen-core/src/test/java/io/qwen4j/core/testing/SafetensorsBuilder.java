package io.qwen4j.core.testing;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Builds safetensors files; the header's entries are text, so that a test can damage them. */
public final class SafetensorsBuilder {
    private final Map<String, String> entries = new LinkedHashMap<>();
    private final ByteArrayOutputStream data = new ByteArrayOutputStream();

    /** Adds a tensor behind the others. */
    public SafetensorsBuilder add(String name, String dtype, long[] shape, byte[] bytes) {
        entries.put(name, entry(dtype, Arrays.toString(shape), data.size(), data.size() + bytes.length));
        data.writeBytes(bytes);
        return this;
    }

    /** Text of an entry. */
    public static String entry(String dtype, String shape, long begin, long end) {
        return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" + begin + "," + end + "]}";
    }

    /** The entries' texts by name, to change. */
    public Map<String, String> entries() {
        return entries;
    }

    /** The header that the entries make. */
    public String header() {
        StringBuilder text = new StringBuilder("{\"__metadata__\":{\"format\":\"pt\"}");
        entries.forEach((name, entry) -> text.append(",\"").append(name).append("\":").append(entry));
        return text.append('}').toString();
    }

    /** The data of all tensors. */
    public byte[] data() {
        return data.toByteArray();
    }

    /** Writes the file. */
    public void write(Path file) {
        write(file, header().getBytes(StandardCharsets.UTF_8), data());
    }

    /** Writes a file of any header and data. */
    public static void write(Path file, byte[] header, byte[] data) {
        byte[] bytes = ByteBuffer.allocate(8 + header.length + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(header.length)
                .put(header)
                .put(data)
                .array();
        try {
            Files.write(file, bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
