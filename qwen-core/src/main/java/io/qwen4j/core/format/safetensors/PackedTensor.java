package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.ModelFile;
import io.qwen4j.core.format.safetensors.HfQuantization.Method;
import io.qwen4j.core.ops.TensorSource;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A matrix of GPTQ or AWQ, read as rows of blocks: {@code value = scale[group] (code - zero[group])}, all three as they are stored.
 *
 * <p>The files have the matrix transposed. GPTQ: {@code qweight} [columns / n, rows] with n codes of neighbouring columns in a word, the
 * first one lowest; AWQ: [columns, rows / 8], eight rows in a word. {@code scales} [groups, rows], {@code qzeros} [groups, rows / n]. Where
 * {@code g_idx} gives columns to groups in any other order than the columns' own, the columns are read group by group.
 */
final class PackedTensor implements TensorSource {
    // Parts of lines that are shorter are read together with what lies between them.
    private static final int LINE_BYTES = 8 << 10;
    private static final int READ_BYTES = 512 << 10;

    private final String name;
    private final HfQuantization quantization;
    private final WeightType type;
    private final int rows;
    private final int columns;
    private final Parts parts;
    private final Slabs slabs;
    private final int groupSize;
    private final int groups;
    private final int wordLines;
    private final int rowsPerSlab;
    private boolean prepared;
    private int @Nullable [] columnOrder;

    /**
     * The parts, whose shapes were checked.
     *
     * @param qweight codes
     * @param qzeros zero points
     * @param scales scales
     * @param groupIndex group of each column, or null if they follow each other
     * @param bias must be zero: the architecture has none here; or null
     */
    record Parts(
            SafetensorsShards.Place qweight,
            SafetensorsShards.Place qzeros,
            SafetensorsShards.Place scales,
            SafetensorsShards.@Nullable Place groupIndex,
            SafetensorsShards.@Nullable Place bias) {}

    PackedTensor(String name, HfQuantization quantization, WeightType type, int rows, int columns, Parts parts, Slabs slabs) {
        this.name = name;
        this.quantization = quantization;
        this.type = type;
        this.rows = rows;
        this.columns = columns;
        this.parts = parts;
        this.slabs = slabs;
        groupSize = quantization.groupSize() == 0 ? columns : quantization.groupSize();
        groups = groups(quantization, columns);
        wordLines = quantization.method() == Method.AWQ ? columns : columns / quantization.codesPerWord();
        rowsPerSlab = slabs.rows(rows, (long) columns * quantization.bits() / 8 + 3L * groups);
    }

    /** Groups of a row. */
    static int groups(HfQuantization quantization, int columns) {
        int size = quantization.groupSize();
        return size == 0 ? 1 : (columns + size - 1) / size;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public WeightType type() {
        return type;
    }

    @Override
    public long rows() {
        return rows;
    }

    @Override
    public long columns() {
        return columns;
    }

    @Override
    public synchronized int @Nullable [] columnOrder() {
        if (!prepared) {
            if (parts.bias != null) {
                requireZeros(parts.bias);
            }
            if (parts.groupIndex != null) {
                columnOrder = order(parts.groupIndex);
            }
            prepared = true;
        }
        return columnOrder;
    }

    private static void requireZeros(SafetensorsShards.Place bias) {
        byte[] bytes = new byte[(int) bias.entry().bytes()];
        bias.file().file().read(bias.file().start(bias.entry()), ByteBuffer.wrap(bytes));
        int size = bytes.length / Math.toIntExact(bias.entry().shape().get(0));
        for (int i = 0; i < bytes.length; i++) {
            boolean sign = i % size == size - 1;
            if (sign ? (bytes[i] & 0x7f) != 0 : bytes[i] != 0) {
                throw error(
                        bias, Reason.UNSUPPORTED, "has a value other than 0 at " + i / size + "; the architecture has no bias here");
            }
        }
    }

    /** The columns group by group, or null if that is their own order. */
    private int @Nullable [] order(SafetensorsShards.Place place) {
        ByteBuffer index = ByteBuffer.allocate(4 * columns).order(ByteOrder.LITTLE_ENDIAN);
        place.file().file().read(place.file().start(place.entry()), index);
        int[] next = new int[groups];
        int[] order = new int[columns];
        boolean own = true;
        for (int c = 0; c < columns; c++) {
            int group = index.getInt(4 * c);
            if (group < 0 || group >= groups) {
                throw error(place, Reason.CORRUPT, "has group " + group + " for column " + c + ", there are " + groups + " groups");
            }
            int at = group * groupSize + next[group]++;
            if (next[group] > groupSize || at >= columns) {
                throw error(place, Reason.CORRUPT, "has more than " + Math.min(groupSize, columns - group * groupSize)
                        + " columns for group " + group + ", column " + c + " is one too many");
            }
            order[at] = c;
            own &= at == c;
        }
        return own ? null : order;
    }

    private static ModelFileException error(SafetensorsShards.Place place, Reason reason, String message) {
        return place.file().file().error(reason, "the tensor " + place.entry().name() + " " + message);
    }

    /** Rows of a slab; the last one has fewer. */
    int slabRows(int slab) {
        return Math.min(rowsPerSlab, rows - slab * rowsPerSlab);
    }

    @Override
    public void read(long offset, ByteBuffer target) {
        Objects.checkFromIndexSize(offset, target.remaining(), byteSize());
        int[] order = columnOrder();
        int rowBytes = (int) type.rowBytes(columns);
        Slabs.Scratch scratch = slabs.scratch();
        try {
            long end = offset + target.remaining();
            int lastRow = (int) ((end + rowBytes - 1) / rowBytes);
            for (int row = (int) (offset / rowBytes); row < lastRow; ) {
                int index = row / rowsPerSlab;
                int slabEnd = Math.min(lastRow, index * rowsPerSlab + slabRows(index));
                Slabs.Slab slab = slabs.take(this, index);
                int first = row;
                try {
                    while (row < slabEnd) {
                        int begin = row / PackedWords.ROWS * PackedWords.ROWS;
                        int count = Math.min(begin + PackedWords.ROWS, slabEnd) - row;
                        blocks(slab, index, begin, row - begin, count, order, scratch);
                        long at = (long) row * rowBytes;
                        int from = (int) Math.max(0, offset - at);
                        int to = (int) Math.min((long) count * rowBytes, end - at);
                        target.put(scratch.rows, from, to - from);
                        row += count;
                    }
                } finally {
                    slabs.release(slab, row - first);
                }
            }
        } finally {
            slabs.giveBack(scratch);
        }
    }

    /** The blocks of the rows {@code begin + skipped} and following, {@code begin} being a multiple of what is unpacked at once. */
    private void blocks(Slabs.Slab slab, int index, int begin, int skipped, int count, int @Nullable [] order, Slabs.Scratch scratch) {
        // Rows are not a power of two apart, where they would push each other out of the cache.
        int codesBytes = columns + 64;
        scratch.codes = Slabs.grown(scratch.codes, PackedWords.ROWS * codesBytes);
        scratch.rows = Slabs.grown(scratch.rows, (int) (PackedWords.ROWS * type.rowBytes(columns)));
        int slabRows = slabRows(index);
        int inSlab = begin - index * rowsPerSlab;
        int present = Math.min(PackedWords.ROWS, slabRows - inSlab);
        if (quantization.method() == Method.AWQ) {
            PackedWords.awq(slab.words, slabRows / 2, inSlab / 2, present, columns, scratch.codes, codesBytes);
        } else {
            PackedWords.gptq(
                    slab.words, 4 * slabRows, 4 * inSlab, quantization.bits(), present, columns, scratch.codes, codesBytes);
        }
        int to = 0;
        for (int r = skipped; r < skipped + count; r++) {
            byte[] codes = scratch.codes;
            int at = r * codesBytes;
            if (order != null) {
                scratch.ordered = Slabs.grown(scratch.ordered, columns);
                for (int c = 0; c < columns; c++) {
                    scratch.ordered[c] = codes[at + order[c]];
                }
                codes = scratch.ordered;
                at = 0;
            }
            to = row(slab, slabRows, inSlab + r, codes, at, scratch.rows, to);
        }
    }

    private int row(Slabs.Slab slab, int slabRows, int row, byte[] codes, int codesAt, byte[] out, int outAt) {
        int size = type.blockSize();
        boolean fourBits = quantization.bits() == 4;
        int to = outAt;
        for (int c = 0; c < columns; c += size) {
            int place = c / groupSize * slabRows + row;
            out[to++] = slab.scales[2 * place];
            out[to++] = slab.scales[2 * place + 1];
            out[to++] = slab.zeros[place];
            if (fourBits) {
                for (int i = 0; i < size; i += 32, to += 16) {
                    PackedWords.pair(codes, codesAt + c + i, out, to);
                }
            } else {
                System.arraycopy(codes, codesAt + c, out, to, size);
                to += size;
            }
        }
        return to;
    }

    /** Reads the rows of a slab. */
    void fetch(int index, Slabs.Slab slab) {
        int first = index * rowsPerSlab;
        int count = slabRows(index);
        boolean awq = quantization.method() == Method.AWQ;
        int perWord = quantization.codesPerWord();
        slab.words = awq
                ? lines(parts.qweight, wordLines, rows / 2, first / 2, count / 2, slab.words)
                : lines(parts.qweight, wordLines, 4L * rows, 4L * first, 4 * count, slab.words);
        slab.scales = lines(parts.scales, groups, 2L * rows, 2L * first, 2 * count, slab.scales);
        byte[] packed = lines(parts.qzeros, groups, 4L * rows / perWord, 4L * first / perWord, 4 * count / perWord, new byte[0]);
        slab.zeros = Slabs.grown(slab.zeros, groups * count);
        int mask = (1 << quantization.bits()) - 1;
        for (int g = 0; g < groups; g++) {
            PackedWords.line(packed, g * (4 * count / perWord), quantization.bits(), awq, count, slab.zeros, g * count);
        }
        for (int i = 0; i < groups * count; i++) {
            slab.zeros[i] = (byte) (slab.zeros[i] + quantization.zeroOffset() & mask);
        }
    }

    /** The same part of all lines of a tensor, one after the other. */
    private static byte[] lines(SafetensorsShards.Place place, int lines, long lineBytes, long from, int bytes, byte[] reused) {
        byte[] out = Slabs.grown(reused, Math.multiplyExact(lines, bytes));
        ModelFile file = place.file().file();
        long start = place.file().start(place.entry()) + from;
        int together = bytes >= LINE_BYTES && bytes < lineBytes ? 1 : (int) Math.max(1, READ_BYTES / lineBytes);
        if (bytes == lineBytes || together == 1) {
            for (int line = 0; line < lines; line += together) {
                int count = Math.min(together, lines - line) * bytes;
                file.read(start + line * lineBytes, ByteBuffer.wrap(out, line * bytes, count));
            }
            return out;
        }
        byte[] between = new byte[(int) (together * lineBytes)];
        for (int line = 0; line < lines; line += together) {
            int count = Math.min(together, lines - line);
            int length = (int) ((count - 1) * lineBytes) + bytes;
            file.read(start + line * lineBytes, ByteBuffer.wrap(between, 0, length));
            for (int i = 0; i < count; i++) {
                System.arraycopy(between, (int) (i * lineBytes), out, (line + i) * bytes, bytes);
            }
        }
        return out;
    }
}
