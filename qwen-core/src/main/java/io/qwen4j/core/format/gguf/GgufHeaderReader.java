package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.ModelFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Reads the header of a GGUF file front to back into one growing array. Nothing is believed of a length before it is compared with what is
 * left of the file and of the limit; memory grows with the bytes that are there, not with those that are declared.
 */
final class GgufHeaderReader {
    // The header of a model with its vocabulary has 6 MB.
    private static final int FIRST_READ = 1 << 19;

    private final ModelFile file;
    private final long limit;
    private byte[] head = new byte[0];
    private ByteBuffer view = ByteBuffer.wrap(head);
    private int position;

    GgufHeaderReader(ModelFile file, ModelLimits limits) {
        this.file = file;
        this.limit = Math.min(limits.headerBytes(), Integer.MAX_VALUE - 64);
    }

    /** The next byte's place in the file. */
    int position() {
        return position;
    }

    /** Bytes between here and the end of the file. */
    long left() {
        return file.size() - position;
    }

    /** What has been read so far; later reads may go to another array. */
    byte[] head() {
        return head;
    }

    int u8(String item) {
        return head[advance(1, item)] & 0xff;
    }

    int u32(String item) {
        int at = advance(4, item);
        return view.getInt(at);
    }

    /** As {@link #u32(String)}, with an item in two parts, which are joined only for an error. */
    int u32(String item, String of) {
        return left() >= 4 && limit - position >= 4 ? u32(item) : u32(item + of);
    }

    long u64(String item) {
        int at = advance(8, item);
        return view.getLong(at);
    }

    /** Skips bytes that are there and returns where they are in {@link #head()}. */
    int skip(long n, String item) {
        return advance(n, item);
    }

    /** A string whose length was checked by the caller. */
    String string(long length, String item) {
        int at = advance(length, item);
        return new String(head, at, (int) length, StandardCharsets.UTF_8);
    }

    /**
     * Skips strings, each a length and so many bytes. The arrays of a vocabulary have 300,000 of them, and a model's first answer waits for
     * this loop, which runs before anything is compiled: so it calls nothing while the bytes are there.
     */
    void skipStrings(long count, String item) {
        for (long i = 0; i < count; i++) {
            byte[] bytes = head;
            int at = position;
            int last = bytes.length - 8;
            while (at <= last) {
                int length = bytes[at] & 0xff | (bytes[at + 1] & 0xff) << 8 | (bytes[at + 2] & 0xff) << 16;
                int high = bytes[at + 3] | bytes[at + 4] | bytes[at + 5] | bytes[at + 6] | bytes[at + 7];
                if (high != 0 || length > last - at || i + 1 == count) {
                    break;
                }
                at += 8 + length;
                i++;
            }
            position = at;
            skip(u64("the length of " + item), item);
        }
    }

    private int advance(long n, String item) {
        if (n < 0 || n > left()) {
            throw file.error(
                    Reason.TRUNCATED,
                    item + " needs " + Long.toUnsignedString(n) + " bytes at byte " + position + ", the file has " + left() + " there");
        }
        if (n > limit - position) {
            throw file.error(Reason.LIMIT, "the header has more than " + limit + " bytes, with " + item + " at byte " + position);
        }
        int at = position;
        fill(position + (int) n);
        position += (int) n;
        return at;
    }

    private void fill(int needed) {
        if (needed <= head.length) {
            return;
        }
        int old = head.length;
        long grown = Math.max(needed, Math.max(FIRST_READ, 4L * old));
        head = Arrays.copyOf(head, (int) Math.min(grown, Math.min(limit, file.size())));
        view = ByteBuffer.wrap(head).order(ByteOrder.LITTLE_ENDIAN);
        file.read(old, ByteBuffer.wrap(head, old, head.length - old));
    }

    ModelFileException error(Reason reason, String message) {
        return file.error(reason, message + " (at byte " + position + ")");
    }
}
