package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.ModelFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** One GGUF file: metadata, tensor table, data. All of its header is checked when it is opened. */
public final class GgufFile implements AutoCloseable {
    private static final int MAGIC = 0x46554747; // "GGUF", little-endian
    private static final int OLDEST = 2;
    private static final int NEWEST = 3;
    private static final String ALIGNMENT_KEY = "general.alignment";
    private static final int DEFAULT_ALIGNMENT = 32;
    private static final int MAX_ALIGNMENT = 1 << 20;

    private final ModelFile file;
    private final int version;
    private final GgufMetadata metadata;
    private final Map<String, GgufTensor> tensors;
    private final long dataStart;

    private GgufFile(ModelFile file, int version, GgufMetadata metadata, Map<String, GgufTensor> tensors, long dataStart) {
        this.file = file;
        this.version = version;
        this.metadata = metadata;
        this.tensors = tensors;
        this.dataStart = dataStart;
    }

    /** Opens and checks a file. */
    public static GgufFile open(Path path, ModelLimits limits) {
        ModelFile file = ModelFile.open(path);
        try {
            return read(file, limits);
        } catch (Throwable e) {
            file.close();
            throw e;
        }
    }

    /** The metadata alone, with the file closed again. */
    public static GgufMetadata readMetadata(Path path, ModelLimits limits) {
        try (GgufFile file = open(path, limits)) {
            return file.metadata();
        }
    }

    private static GgufFile read(ModelFile file, ModelLimits limits) {
        var in = new GgufHeaderReader(file, limits);
        int version = version(in);
        long tensorCount = in.u64("the number of tensors");
        long keyCount = in.u64("the number of metadata keys");
        var tensorReader = new GgufTensorReader(in);
        tensorReader.checkCount(tensorCount, limits);
        var metadata = new GgufMetadata(file.path(), new GgufMetadataReader(in).read(keyCount));
        int alignment = alignment(in, metadata);
        tensorReader.checkCount(tensorCount, limits);
        Map<String, GgufTensor> tensors = tensorReader.read(tensorCount);
        long dataStart = aligned(in.position(), alignment);
        checkPlaces(file, tensors, alignment, dataStart);
        return new GgufFile(file, version, metadata, tensors, dataStart);
    }

    private static int version(GgufHeaderReader in) {
        int magic = in.u32("the magic number");
        if (magic != MAGIC) {
            throw in.error(
                    Reason.CORRUPT,
                    String.format("a GGUF file starts with \"GGUF\", found the bytes %08x", Integer.reverseBytes(magic)));
        }
        int version = in.u32("the version");
        if ((version & 0xffff) == 0 && version != 0) {
            throw in.error(Reason.UNSUPPORTED, "the file is big-endian; little-endian files are read");
        }
        if (version >= 0 && version < OLDEST) {
            throw in.error(Reason.TOO_OLD, "version " + version + " of GGUF, versions " + OLDEST + " and " + NEWEST + " are read");
        }
        if (version < 0 || version > NEWEST) {
            throw in.error(
                    Reason.TOO_NEW,
                    "version " + Integer.toUnsignedString(version) + " of GGUF, versions " + OLDEST + " and " + NEWEST + " are read");
        }
        return version;
    }

    private static int alignment(GgufHeaderReader in, GgufMetadata metadata) {
        if (!metadata.has(ALIGNMENT_KEY)) {
            return DEFAULT_ALIGNMENT;
        }
        GgufValue value = metadata.value(ALIGNMENT_KEY);
        if (value.type() != GgufType.UINT32) {
            throw in.error(Reason.CORRUPT, ALIGNMENT_KEY + " must be UINT32, found " + value.type());
        }
        long alignment = metadata.unsigned(ALIGNMENT_KEY);
        if (alignment > MAX_ALIGNMENT || Long.bitCount(alignment) != 1) {
            throw in.error(
                    Reason.CORRUPT, ALIGNMENT_KEY + " is " + alignment + ", expected a power of two up to " + MAX_ALIGNMENT);
        }
        return (int) alignment;
    }

    /** Tensors follow each other, each at the next multiple of the alignment; their order in the table is free. */
    private static void checkPlaces(ModelFile file, Map<String, GgufTensor> tensors, int alignment, long dataStart) {
        List<GgufTensor> sorted = new ArrayList<>(tensors.values());
        sorted.sort(Comparator.comparing(GgufTensor::offset, Long::compareUnsigned));
        long expected = 0;
        long end = 0;
        for (GgufTensor t : sorted) {
            if (t.offset() != expected) {
                String problem = t.offset() % alignment != 0
                        ? "is no multiple of the alignment " + alignment
                        : Long.compareUnsigned(t.offset(), expected) < 0 ? "overlaps the tensor before" : "leaves a hole";
                throw file.error(
                        Reason.OFFSET,
                        "the tensor " + t.name() + " has the offset " + Long.toUnsignedString(t.offset()) + ", expected " + expected
                                + ": it " + problem);
            }
            end = expected + t.bytes(); // the reader found the sum of all sizes to fit
            expected = aligned(end, alignment);
            if (expected < 0) {
                throw file.error(Reason.OVERFLOW, "the tensors up to " + t.name() + " do not fit in 64 bits");
            }
        }
        if (!sorted.isEmpty() && end > file.size() - dataStart) {
            throw file.error(
                    Reason.TRUNCATED, "the tensors need " + end + " bytes from byte " + dataStart + " on, the file has " + file.size());
        }
    }

    private static long aligned(long position, int alignment) {
        return (position + alignment - 1) & -(long) alignment;
    }

    /** The file. */
    public ModelFile file() {
        return file;
    }

    /** The version of the format. */
    public int version() {
        return version;
    }

    /** The metadata. */
    public GgufMetadata metadata() {
        return metadata;
    }

    /** The tensors by their names in the file, in the table's order. */
    public Map<String, GgufTensor> tensors() {
        return tensors;
    }

    /** First byte of a tensor in the file. */
    public long start(GgufTensor tensor) {
        return dataStart + tensor.offset();
    }

    @Override
    public void close() {
        file.close();
    }
}
