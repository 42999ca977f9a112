package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.Json;
import io.qwen4j.core.format.ModelFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * A safetensors file: 8 bytes with the header's length, a JSON header, data. Everything the header says is checked when the file is opened:
 * sizes follow from shapes, and the tensors cover the data without hole or overlap.
 */
public final class SafetensorsFile implements AutoCloseable {
    private final ModelFile file;
    private final long dataStart;
    private final Map<String, String> metadata;
    private final Map<String, SafetensorsEntry> entries;

    private SafetensorsFile(ModelFile file, long dataStart, SafetensorsHeader header) {
        this.file = file;
        this.dataStart = dataStart;
        this.metadata = header.metadata();
        this.entries = header.entries();
    }

    /** Opens and checks a file. */
    public static SafetensorsFile open(Path path, ModelLimits limits) {
        ModelFile file = ModelFile.open(path);
        try {
            return read(file, limits);
        } catch (Throwable e) {
            file.close();
            throw e;
        }
    }

    private static SafetensorsFile read(ModelFile file, ModelLimits limits) {
        if (file.size() < 8) {
            throw file.error(Reason.TRUNCATED, "a safetensors file starts with 8 bytes of length, this one has " + file.size());
        }
        ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
        file.read(0, length);
        long n = length.getLong(0);
        if (n < 0 || n > limits.headerBytes()) {
            throw file.error(
                    Reason.LIMIT,
                    "the header's length is " + Long.toUnsignedString(n) + " bytes, at most " + limits.headerBytes() + " are read");
        }
        if (n < 2 && n <= file.size() - 8) {
            throw file.error(Reason.CORRUPT, "the header's length is " + n + " bytes, the shortest header has 2");
        }
        if (n > file.size() - 8) {
            throw file.error(
                    Reason.TRUNCATED, "the header needs " + n + " bytes, the file has " + (file.size() - 8) + " behind the length");
        }
        long dataStart = 8 + n;
        SafetensorsHeader header = Json.read(file, 8, dataStart, parser -> SafetensorsHeader.read(file, parser, limits));
        checkPlaces(file, header.entries(), file.size() - dataStart);
        return new SafetensorsFile(file, dataStart, header);
    }

    private static void checkPlaces(ModelFile file, Map<String, SafetensorsEntry> entries, long dataLength) {
        for (SafetensorsEntry e : entries.values()) {
            checkSize(file, e, dataLength);
        }
        List<SafetensorsEntry> sorted = new ArrayList<>(entries.values());
        sorted.sort(Comparator.comparingLong(SafetensorsEntry::begin).thenComparingLong(SafetensorsEntry::end));
        long expected = 0;
        for (SafetensorsEntry e : sorted) {
            if (e.begin() != expected) {
                throw file.error(
                        Reason.OFFSET,
                        "the tensor " + e.name() + " begins at data byte " + e.begin() + ", expected " + expected + ": it "
                                + (e.begin() < expected ? "overlaps the tensor before" : "leaves a hole"));
            }
            expected = e.end();
        }
        if (expected > dataLength) {
            throw file.error(
                    Reason.TRUNCATED, "the tensors need " + expected + " bytes of data, the file has " + dataLength + " behind its header");
        }
        if (expected < dataLength) {
            throw file.error(
                    Reason.OFFSET, "the tensors end at data byte " + expected + ", but the file has " + dataLength + " behind its header");
        }
    }

    private static void checkSize(ModelFile file, SafetensorsEntry e, long dataLength) {
        if (e.end() < e.begin()) {
            throw file.error(Reason.OFFSET, "the tensor " + e.name() + " ends at " + e.end() + ", before it begins at " + e.begin());
        }
        if (e.end() - e.begin() != e.bytes()) {
            // An end outside of the file is named as such; a file that was cut has ends that agree with the shapes.
            if (e.end() > dataLength) {
                throw file.error(
                        Reason.OFFSET,
                        "the tensor " + e.name() + " ends at data byte " + e.end() + ", the file has " + dataLength
                                + " behind its header");
            }
            throw file.error(
                    Reason.SHAPE,
                    "the tensor " + e.name() + " has " + (e.end() - e.begin()) + " bytes, its shape " + e.shape() + " of " + e.dtype()
                            + " requires " + e.bytes());
        }
    }

    /** The file. */
    public ModelFile file() {
        return file;
    }

    /** The header's {@code __metadata__}. */
    public Map<String, String> metadata() {
        return metadata;
    }

    /** The tensors by name, in the header's order. */
    public Map<String, SafetensorsEntry> entries() {
        return entries;
    }

    /** First byte of a tensor in the file. */
    public long start(SafetensorsEntry entry) {
        return dataStart + entry.begin();
    }

    @Override
    public void close() {
        file.close();
    }
}
