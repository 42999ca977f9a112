package io.qwen4j.core.model;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.WeightType;
import io.qwen4j.core.ops.TensorSource;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Searches tensors for NaN and infinity: in plain values, and in the scales of blocks. */
final class ValueCheck {
    private static final int READ_BYTES = 4 << 20;

    // One buffer for all tensors: as garbage, buffers of this size would let the heap grow.
    private final ByteBuffer buffer = ByteBuffer.allocate(READ_BYTES).order(ByteOrder.LITTLE_ENDIAN);

    /** Reads the tensor once; throws at the first bad value. */
    void check(TensorSource source, ProgressMeter progress) {
        WeightType type = source.type();
        int unit = type.blockBytes();
        int wholeBlocks = READ_BYTES / unit * unit;
        for (long offset = 0; offset < source.byteSize(); offset += wholeBlocks) {
            int count = (int) Math.min(wholeBlocks, source.byteSize() - offset);
            source.read(offset, buffer.clear().limit(count));
            int bad = firstBad(type, buffer, count);
            if (bad >= 0) {
                throw error(source, (offset + bad) / unit * type.blockSize());
            }
            progress.add(count);
        }
    }

    private static ModelFileException error(TensorSource source, long index) {
        String what = source.type().isQuantized() ? "the scale of the block of value " : "value ";
        int[] order = source.columnOrder();
        long column = index % source.columns();
        return new ModelFileException(Reason.VALUE, null, "tensor " + source.name() + ": " + what + "[" + index / source.columns() + ", "
                + (order == null ? column : order[(int) column]) + "] is NaN or infinite, expected a finite number");
    }

    /** First byte of the first bad number, or -1. */
    private static int firstBad(WeightType type, ByteBuffer bytes, int count) {
        int[] halves = halves(type);
        int unit = type.blockBytes();
        for (int at = 0; at < count; at += unit) {
            boolean bad = switch (type) {
                case F32 -> (bytes.getInt(at) & 0x7f800000) == 0x7f800000;
                case BF16 -> (bytes.getShort(at) & 0x7f80) == 0x7f80;
                default -> badHalf(bytes, at, halves);
            };
            if (bad) {
                return at;
            }
        }
        return -1;
    }

    private static boolean badHalf(ByteBuffer bytes, int at, int[] halves) {
        for (int half : halves) {
            if ((bytes.getShort(at + half) & 0x7c00) == 0x7c00) {
                return true;
            }
        }
        return false;
    }

    /** Places of the halves in a block; every other field is an integer, for which all bit patterns are finite. */
    private static int[] halves(WeightType type) {
        return switch (type) {
            case F32, BF16 -> new int[0];
            case F16, Q4_0, Q5_0, Q8_0, IQ4_NL, IQ4_XS, INT4_G32, INT4_G128, INT8_G32, INT8_G128 -> new int[] {0};
            case Q4_1, Q5_1, Q4_K, Q5_K -> new int[] {0, 2};
            case Q2_K -> new int[] {80, 82};
            case Q3_K -> new int[] {108};
            case Q6_K -> new int[] {208};
        };
    }
}
