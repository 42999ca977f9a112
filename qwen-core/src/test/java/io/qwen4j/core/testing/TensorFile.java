package io.qwen4j.core.testing;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.zip.GZIPInputStream;

/** A safetensors resource of the tests, believed as it is: golden values, not models. */
public final class TensorFile {
    private final JsonNode header;
    private final ByteBuffer data;

    private TensorFile(byte[] bytes) throws IOException {
        ByteBuffer file = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int size = Math.toIntExact(file.getLong());
        header = new ObjectMapper().readTree(new String(bytes, 8, size, StandardCharsets.UTF_8));
        data = file.position(8 + size).slice().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** A file in memory. */
    public static TensorFile of(byte[] bytes) {
        try {
            return new TensorFile(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Reads a resource; a name that ends in .gz is decompressed. */
    public static TensorFile resource(String name) {
        try (InputStream raw = TensorFile.class.getResourceAsStream(name)) {
            if (raw == null) {
                throw new IllegalArgumentException("no test resource " + name);
            }
            return new TensorFile(name.endsWith(".gz") ? new GZIPInputStream(raw).readAllBytes() : raw.readAllBytes());
        } catch (IOException e) {
            throw new UncheckedIOException(name, e);
        }
    }

    private ByteBuffer tensor(String name) {
        JsonNode offsets = header.required(name).required("data_offsets");
        int begin = offsets.get(0).intValue();
        return data.slice(begin, offsets.get(1).intValue() - begin).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Size of a dimension. */
    public int dimension(String name, int index) {
        return header.required(name).required("shape").get(index).intValue();
    }

    /** The bytes of a tensor. */
    public byte[] bytes(String name) {
        ByteBuffer buffer = tensor(name);
        byte[] out = new byte[buffer.remaining()];
        buffer.get(out);
        return out;
    }

    /** An F32 tensor. */
    public float[] floats(String name) {
        float[] out = new float[tensor(name).remaining() / 4];
        tensor(name).asFloatBuffer().get(out);
        return out;
    }

    /** An I32 tensor. */
    public int[] ints(String name) {
        int[] out = new int[tensor(name).remaining() / 4];
        tensor(name).asIntBuffer().get(out);
        return out;
    }
}
