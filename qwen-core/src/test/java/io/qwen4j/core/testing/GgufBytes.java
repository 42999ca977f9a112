package io.qwen4j.core.testing;

import io.qwen4j.WeightType;
import io.qwen4j.core.format.gguf.GgufNames;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Builds GGUF files field by field, so that a test can damage any of them. */
public final class GgufBytes {
    /** Numbers of metadata types. */
    public static final int UINT8 = 0;
    /** A 32-bit unsigned integer. */
    public static final int UINT32 = 4;
    /** A 32-bit integer. */
    public static final int INT32 = 5;
    /** A single-precision number. */
    public static final int FLOAT32 = 6;
    /** A boolean. */
    public static final int BOOL = 7;
    /** A string. */
    public static final int STRING = 8;
    /** An array. */
    public static final int ARRAY = 9;

    /** First word of the file. */
    public int magic = 0x46554747;
    /** Second word of the file. */
    public int version = 3;
    /** Declared tensors; null for as many as there are. */
    public @Nullable Long tensorCount;
    /** Declared keys; null for as many as there are. */
    public @Nullable Long keyCount;
    /** Encoded keys and values. */
    public final List<byte[]> keys = new ArrayList<>();
    /** The table. */
    public final List<Tensor> tensors = new ArrayList<>();
    /** Bytes of data behind the header. */
    public long dataLength;

    /** A row of the tensor table. */
    public static final class Tensor {
        /** Declared length of the name; null for the true one. */
        public @Nullable Long nameLength;
        /** Name. */
        public String name;
        /** Declared number of dimensions; null for the true one. */
        public @Nullable Integer dimensions;
        /** Dimensions, the fastest first. */
        public long[] shape;
        /** Type number. */
        public int type;
        /** Offset. */
        public long offset;
    }

    /** A file of a whole decoder; the matrices have the type, the data is zeros. */
    public static GgufBytes decoder(QwenConfig c, WeightType type) {
        var out = new GgufBytes();
        String architecture = c.experts() == null ? "qwen2" : "qwen2moe";
        out.string("general.architecture", architecture);
        out.u32(architecture + ".block_count", c.layers());
        out.u32(architecture + ".context_length", c.contextLength());
        out.u32(architecture + ".embedding_length", c.hiddenSize());
        out.u32(architecture + ".feed_forward_length", c.ffnSize());
        out.u32(architecture + ".attention.head_count", c.heads());
        out.u32(architecture + ".attention.head_count_kv", c.kvHeads());
        out.f32(architecture + ".attention.layer_norm_rms_epsilon", c.normEpsilon());
        out.f32(architecture + ".rope.freq_base", (float) c.rope().theta());
        if (c.experts() != null) {
            out.u32("qwen2moe.expert_count", c.experts().count());
            out.u32("qwen2moe.expert_used_count", c.experts().used());
            out.u32("qwen2moe.expert_feed_forward_length", c.experts().ffnSize());
            out.u32("qwen2moe.expert_shared_feed_forward_length", c.experts().sharedFfnSize());
        }
        for (QwenTensors.Expected e : QwenTensors.of(c)) {
            WeightType t = e.matrix() ? type : WeightType.F32;
            long[] slowestFirst = e.shape();
            long[] shape = new long[slowestFirst.length];
            for (int i = 0; i < shape.length; i++) {
                shape[i] = slowestFirst[shape.length - 1 - i];
            }
            out.tensor(GgufNames.toGguf(e.name()), t, shape);
        }
        return out;
    }

    /** Adds a tensor behind the others. */
    public Tensor tensor(String name, WeightType type, long... shape) {
        var t = new Tensor();
        t.name = name;
        t.type = type.ggmlType();
        t.shape = shape;
        t.offset = (dataLength + 31) / 32 * 32;
        long rows = 1;
        for (int i = 1; i < shape.length; i++) {
            rows *= shape[i];
        }
        dataLength = t.offset + rows * type.rowBytes(shape[0]);
        tensors.add(t);
        return t;
    }

    /** The tensor of a name. */
    public Tensor tensor(String name) {
        return tensors.stream().filter(t -> t.name.equals(name)).findFirst().orElseThrow();
    }

    /** Adds a key of any type and content. */
    public void key(String name, int type, byte[] value) {
        byte[] text = name.getBytes(StandardCharsets.UTF_8);
        keys.add(little(8 + text.length + 4 + value.length).putLong(text.length).put(text).putInt(type).put(value).array());
    }

    /** Removes a key. */
    public void remove(String name) {
        byte[] text = name.getBytes(StandardCharsets.UTF_8);
        keys.removeIf(k -> ByteBuffer.wrap(k).order(ByteOrder.LITTLE_ENDIAN).getLong() == text.length
                && new String(k, 8, text.length, StandardCharsets.UTF_8).equals(name));
    }

    /** Adds an unsigned integer. */
    public void u32(String name, int value) {
        key(name, UINT32, little(4).putInt(value).array());
    }

    /** Adds a number. */
    public void f32(String name, float value) {
        key(name, FLOAT32, little(4).putFloat(value).array());
    }

    /** Adds a string. */
    public void string(String name, String value) {
        key(name, STRING, text(value));
    }

    /** Adds an array of any elements. */
    public void array(String name, int elementType, long count, byte[] elements) {
        key(name, ARRAY, little(12 + elements.length).putInt(elementType).putLong(count).put(elements).array());
    }

    /** Adds an array of strings. */
    public void strings(String name, List<String> values) {
        var out = new ByteArrayOutputStream();
        values.forEach(v -> out.writeBytes(text(v)));
        array(name, STRING, values.size(), out.toByteArray());
    }

    /** An encoded string. */
    public static byte[] text(String value) {
        byte[] text = value.getBytes(StandardCharsets.UTF_8);
        return little(8 + text.length).putLong(text.length).put(text).array();
    }

    /** The header, padded to 32 bytes. */
    public byte[] header() {
        var out = new ByteArrayOutputStream();
        out.writeBytes(little(24)
                .putInt(magic)
                .putInt(version)
                .putLong(tensorCount == null ? tensors.size() : tensorCount)
                .putLong(keyCount == null ? keys.size() : keyCount)
                .array());
        keys.forEach(out::writeBytes);
        for (Tensor t : tensors) {
            byte[] name = t.name.getBytes(StandardCharsets.UTF_8);
            ByteBuffer row = little(8 + name.length + 4 + 8 * t.shape.length + 12);
            row.putLong(t.nameLength == null ? name.length : t.nameLength).put(name);
            row.putInt(t.dimensions == null ? t.shape.length : t.dimensions);
            for (long n : t.shape) {
                row.putLong(n);
            }
            out.writeBytes(row.putInt(t.type).putLong(t.offset).array());
        }
        out.writeBytes(new byte[Math.floorMod(-out.size(), 32)]);
        return out.toByteArray();
    }

    /** Writes the file. */
    public Path write(Path file) {
        try (var out = new java.io.RandomAccessFile(file.toFile(), "rw")) {
            byte[] header = header();
            out.setLength(0);
            out.write(header);
            out.setLength(header.length + dataLength);
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Writes the file without its last bytes. */
    public Path writeCut(Path file, long missing) {
        write(file);
        try (var out = new java.io.RandomAccessFile(file.toFile(), "rw")) {
            out.setLength(Files.size(file) - missing);
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A little-endian buffer. */
    public static ByteBuffer little(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }
}
