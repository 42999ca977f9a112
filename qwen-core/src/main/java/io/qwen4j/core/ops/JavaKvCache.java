package io.qwen4j.core.ops;

import io.qwen4j.KvCacheType;
import io.qwen4j.core.quant.HalfFloats;
import org.jspecify.annotations.Nullable;

/** Keys and values on the heap, rounded to the type of the cache. A page of a layer is made when it is first written. */
final class JavaKvCache implements KvCache {
    private final KvLayout layout;
    private final int sideLength;
    private float @Nullable [][] floats;
    private short @Nullable [][] halves;

    JavaKvCache(KvLayout layout) {
        if (layout.layers() < 1 || layout.pages() < 1 || layout.pageTokens() < 1 || layout.kvHeads() < 1 || layout.headSize() < 1) {
            throw new IllegalArgumentException("a KV cache of shape " + layout);
        }
        this.layout = layout;
        sideLength = HeapMemory.length((long) layout.pageTokens() * layout.kvHeads() * layout.headSize());
        int count = HeapMemory.length((long) layout.layers() * layout.pages());
        if (layout.type() == KvCacheType.F32) {
            floats = new float[count][];
        } else {
            halves = new short[count][];
        }
    }

    @Override
    public KvLayout layout() {
        return layout;
    }

    /** Place of a head's row within a page: K then V, each (K, page tokens, E). */
    private int at(boolean value, int head, int offset) {
        return (value ? sideLength : 0) + (head * layout.pageTokens() + offset) * layout.headSize();
    }

    private int block(int layer, int page) {
        if (layer < 0 || layer >= layout.layers() || page < 0 || page >= layout.pages()) {
            throw new IllegalArgumentException("layer " + layer + ", page " + page + " of a KV cache of shape " + layout);
        }
        return layer * layout.pages() + page;
    }

    /** Stores the key ({@code value} false) or value of a head at a slot. */
    void store(int layer, int slot, int head, boolean value, float[] from, int fromAt) {
        int block = block(layer, slot / layout.pageTokens());
        int to = at(value, head, slot % layout.pageTokens());
        int size = layout.headSize();
        if (floats != null) {
            if (floats[block] == null) {
                floats[block] = HeapMemory.allocate("a page of the KV cache", 8L * sideLength, () -> new float[2 * sideLength]);
            }
            System.arraycopy(from, fromAt, floats[block], to, size);
        } else if (halves != null) {
            if (halves[block] == null) {
                halves[block] = HeapMemory.allocate("a page of the KV cache", 4L * sideLength, () -> new short[2 * sideLength]);
            }
            boolean bf16 = layout.type() == KvCacheType.BF16;
            short[] page = halves[block];
            for (int i = 0; i < size; i++) {
                float x = from[fromAt + i];
                page[to + i] = (short) (bf16 ? HalfFloats.floatToBf16(x) : HalfFloats.floatToF16(x));
            }
        } else {
            throw new IllegalStateException("the KV cache is closed");
        }
    }

    /** Loads the key or value of a head at a place of a page; zeros where nothing was ever written. */
    void load(int layer, int page, int offset, int head, boolean value, float[] to) {
        int block = block(layer, page);
        int from = at(value, head, offset);
        int size = layout.headSize();
        if (floats != null && floats[block] != null) {
            System.arraycopy(floats[block], from, to, 0, size);
        } else if (halves != null && halves[block] != null) {
            boolean bf16 = layout.type() == KvCacheType.BF16;
            short[] values = halves[block];
            for (int i = 0; i < size; i++) {
                to[i] = bf16 ? HalfFloats.bf16ToFloat(values[from + i]) : HalfFloats.f16ToFloat(values[from + i]);
            }
        } else {
            java.util.Arrays.fill(to, 0, size, 0);
        }
    }

    @Override
    public void close() {
        floats = null;
        halves = null;
    }
}
