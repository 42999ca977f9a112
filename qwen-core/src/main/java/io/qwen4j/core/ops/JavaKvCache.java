package io.qwen4j.core.ops;

import io.qwen4j.core.quant.HalfFloats;
import org.jspecify.annotations.Nullable;

/** Keys and values on the heap, rounded to the type of the cache. A page of a layer is made when it is first written. */
final class JavaKvCache implements KvCache {
    private static final int NO_CENTRE = -1;

    private final KvLayout layout;
    private final int sideRows;
    private @Nullable Page @Nullable [] pages;

    /** The rows of a page of a layer: K then V, each (K, page tokens), of E values. */
    private interface Page {
        void store(int row, int centre, float[] from, int fromAt);

        void load(int row, int centre, float[] to);

        default void storeCentre(int centre, float[] from) {
            throw new IllegalStateException("keys of this type have no centre");
        }
    }

    private record Floats(float[] values, int size) implements Page {
        @Override
        public void store(int row, int centre, float[] from, int fromAt) {
            System.arraycopy(from, fromAt, values, row * size, size);
        }

        @Override
        public void load(int row, int centre, float[] to) {
            System.arraycopy(values, row * size, to, 0, size);
        }
    }

    private record Halves(short[] values, int size) implements Page {
        @Override
        public void store(int row, int centre, float[] from, int fromAt) {
            for (int i = 0; i < size; i++) {
                values[row * size + i] = (short) HalfFloats.floatToF16(from[fromAt + i]);
            }
        }

        @Override
        public void load(int row, int centre, float[] to) {
            for (int i = 0; i < size; i++) {
                to[i] = HalfFloats.f16ToFloat(values[row * size + i]);
            }
        }
    }

    private record BrainFloats(short[] values, int size) implements Page {
        @Override
        public void store(int row, int centre, float[] from, int fromAt) {
            for (int i = 0; i < size; i++) {
                values[row * size + i] = (short) HalfFloats.floatToBf16(from[fromAt + i]);
            }
        }

        @Override
        public void load(int row, int centre, float[] to) {
            for (int i = 0; i < size; i++) {
                to[i] = HalfFloats.bf16ToFloat(values[row * size + i]);
            }
        }
    }

    /** A row is centre + scale * value. */
    private record Bytes(byte[] values, float[] scales, short[] centres, int size) implements Page {
        /** A row of smaller numbers is zero. */
        private static final float SMALLEST = 1e-33f;

        @Override
        public void store(int row, int centre, float[] from, int fromAt) {
            float largest = 0;
            for (int i = 0; i < size; i++) {
                largest = Math.max(largest, Math.abs(from[fromAt + i] - centre(centre, i)));
            }
            // A row that has a NaN or an infinity is NaN as a whole, so that it is noticed.
            boolean finite = largest < Float.POSITIVE_INFINITY;
            boolean zero = largest < SMALLEST || !finite;
            float inverse = zero ? 0 : 127 / largest;
            scales[row] = !finite ? Float.NaN : zero ? 0 : largest / 127;
            for (int i = 0; i < size; i++) {
                float x = from[fromAt + i] - centre(centre, i);
                values[row * size + i] = zero ? 0 : (byte) Math.rint(x * inverse);
            }
        }

        @Override
        public void load(int row, int centre, float[] to) {
            for (int i = 0; i < size; i++) {
                to[i] = (float) (centre(centre, i) + (double) scales[row] * values[row * size + i]);
            }
        }

        @Override
        public void storeCentre(int centre, float[] from) {
            for (int i = 0; i < size; i++) {
                centres[centre * size + i] = (short) HalfFloats.floatToF16(from[i]);
            }
        }

        private float centre(int centre, int i) {
            return centre == NO_CENTRE ? 0 : HalfFloats.f16ToFloat(centres[centre * size + i]);
        }
    }

    JavaKvCache(KvLayout layout) {
        if (layout.layers() < 1 || layout.pages() < 1 || layout.pageTokens() < 1 || layout.kvHeads() < 1 || layout.headSize() < 1) {
            throw new IllegalArgumentException("a KV cache of shape " + layout);
        }
        this.layout = layout;
        sideRows = HeapMemory.length((long) layout.pageTokens() * layout.kvHeads());
        HeapMemory.length(2L * sideRows * layout.headSize());
        pages = new @Nullable Page[HeapMemory.length((long) layout.layers() * layout.pages())];
    }

    @Override
    public KvLayout layout() {
        return layout;
    }

    private Page newPage() {
        int rows = 2 * sideRows;
        int size = layout.headSize();
        return HeapMemory.allocate(
                "a page of the KV cache",
                layout.pageBytes() / layout.layers(),
                () -> switch (layout.type()) {
                    case F32 -> new Floats(new float[rows * size], size);
                    case F16 -> new Halves(new short[rows * size], size);
                    case BF16 -> new BrainFloats(new short[rows * size], size);
                    case INT8 -> new Bytes(new byte[rows * size], new float[rows], new short[layout.kvHeads() * size], size);
                });
    }

    /** Row of a head within a page. */
    private int row(boolean value, int head, int offset) {
        return (value ? sideRows : 0) + head * layout.pageTokens() + offset;
    }

    private static int centre(boolean value, int head) {
        return value ? NO_CENTRE : head;
    }

    private int block(int layer, int page) {
        if (layer < 0 || layer >= layout.layers() || page < 0 || page >= layout.pages()) {
            throw new IllegalArgumentException("layer " + layer + ", page " + page + " of a KV cache of shape " + layout);
        }
        return layer * layout.pages() + page;
    }

    private Page written(int layer, int slot) {
        if (pages == null) {
            throw new IllegalStateException("the KV cache is closed");
        }
        int block = block(layer, slot / layout.pageTokens());
        Page page = pages[block];
        if (page == null) {
            page = newPage();
            pages[block] = page;
        }
        return page;
    }

    /** Sets the centre of the keys of a head, for the page of a slot. */
    void storeCentre(int layer, int slot, int head, float[] from) {
        written(layer, slot).storeCentre(head, from);
    }

    /** Stores the key ({@code value} false) or value of a head at a slot. */
    void store(int layer, int slot, int head, boolean value, float[] from, int fromAt) {
        int row = row(value, head, slot % layout.pageTokens());
        written(layer, slot).store(row, centre(value, head), from, fromAt);
    }

    /** Loads the key or value of a head at a place of a page; zeros where nothing was ever written. */
    void load(int layer, int page, int offset, int head, boolean value, float[] to) {
        int block = block(layer, page);
        Page found = pages == null ? null : pages[block];
        if (found == null) {
            java.util.Arrays.fill(to, 0, layout.headSize(), 0);
        } else {
            found.load(row(value, head, offset), centre(value, head), to);
        }
    }

    @Override
    public void close() {
        pages = null;
    }
}
