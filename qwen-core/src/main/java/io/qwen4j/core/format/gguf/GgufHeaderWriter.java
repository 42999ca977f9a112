package io.qwen4j.core.format.gguf;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Encodes a GGUF header in memory: about 6 MB with Qwen's vocabulary. */
final class GgufHeaderWriter {
    private ByteBuffer out = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN);

    void begin(int version, long tensors, long keys) {
        room(24).put("GGUF".getBytes(StandardCharsets.US_ASCII)).putInt(version).putLong(tensors).putLong(keys);
    }

    void value(String key, GgufValue value) {
        string(key);
        room(4).putInt(value.type().ordinal());
        if (value.elementType() != null) {
            room(12).putInt(value.elementType().ordinal()).putLong(value.count());
        }
        ByteBuffer content = value.content();
        room(content.remaining()).put(content);
    }

    void tensor(GgufWriter.Tensor tensor, long offset) {
        string(tensor.name());
        int dimensions = tensor.shape().size();
        room(4 + 8 * dimensions + 12).putInt(dimensions);
        for (int i = dimensions - 1; i >= 0; i--) {
            out.putLong(tensor.shape().get(i));
        }
        out.putInt(tensor.type().ggmlType()).putLong(offset);
    }

    void pad(int alignment) {
        int n = Math.floorMod(-out.position(), alignment);
        room(n).put(new byte[n]);
    }

    private void string(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        room(8 + bytes.length).putLong(bytes.length).put(bytes);
    }

    private ByteBuffer room(int n) {
        if (out.remaining() < n) {
            int position = out.position();
            int size = (int) Math.min(Integer.MAX_VALUE - 64, Math.max(2L * out.capacity(), (long) position + n));
            out = ByteBuffer.wrap(Arrays.copyOf(out.array(), size)).order(ByteOrder.LITTLE_ENDIAN).position(position);
        }
        return out;
    }

    int size() {
        return out.position();
    }

    ByteBuffer bytes() {
        return out.duplicate().flip();
    }
}
