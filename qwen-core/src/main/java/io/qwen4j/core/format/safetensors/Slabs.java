package io.qwen4j.core.format.safetensors;

import io.qwen4j.InsufficientMemoryException;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * Parts of packed tensors in memory. A matrix is stored by columns and read by rows, so many rows are fetched at once and served from
 * here: about 16 MiB for each thread that reads. Slabs are passed on from tensor to tensor; all that a slab holds was read once, it is the
 * first to go.
 */
final class Slabs {
    // Rows that are fetched at once: lines of the file are read in parts of at least some kilobytes then.
    private static final int BYTES = 16 << 20;
    private static final int ROW_UNIT = 64;

    private final Map<Key, Slab> slabs = new LinkedHashMap<>(16, 0.75f, true);
    private final Queue<Scratch> scratches = new ConcurrentLinkedQueue<>();
    private final int most = Runtime.getRuntime().availableProcessors() + 1;
    private final int bytes;

    Slabs() {
        this(BYTES);
    }

    /** As above, with slabs of another size; for tests. */
    Slabs(int bytes) {
        this.bytes = bytes;
    }

    /** Rows of a tensor. */
    private record Key(PackedTensor tensor, int index) {}

    /** Rows of a tensor, in the layout of the file. */
    static final class Slab {
        /** Lines of words, without gaps. */
        byte[] words = new byte[0];
        /** Lines of scales, halves. */
        byte[] scales = new byte[0];
        /** Lines of zero points, a byte each. */
        byte[] zeros = new byte[0];

        private boolean loaded;
        private int users;
        private long rowsLeft;

        private synchronized void load(PackedTensor tensor, int index) {
            if (!loaded) {
                tensor.fetch(index, this);
                loaded = true;
            }
        }

        private void begin(long rows) {
            loaded = false;
            rowsLeft = rows;
        }
    }

    /** Working memory of a read. */
    static final class Scratch {
        byte[] codes = new byte[0];
        byte[] ordered = new byte[0];
        byte[] rows = new byte[0];
    }

    /** Rows of a slab of a tensor whose rows have a size. */
    int rows(int tensorRows, long rowBytes) {
        return (int) Math.min((tensorRows + ROW_UNIT - 1) / ROW_UNIT, Math.max(1, bytes / rowBytes / ROW_UNIT)) * ROW_UNIT;
    }

    /** Takes some rows into memory; {@link #release} follows. */
    Slab take(PackedTensor tensor, int index) {
        Slab slab = find(new Key(tensor, index));
        try {
            slab.load(tensor, index);
            return slab;
        } catch (Throwable e) {
            release(slab, 0);
            throw e;
        }
    }

    private synchronized Slab find(Key key) {
        Slab slab = slabs.get(key);
        if (slab == null) {
            slab = unused();
            slab.begin(key.tensor.slabRows(key.index));
            slabs.put(key, slab);
        }
        slab.users++;
        return slab;
    }

    private Slab unused() {
        for (boolean full = false; ; full = true) {
            for (Iterator<Slab> i = slabs.values().iterator(); i.hasNext(); ) {
                Slab slab = i.next();
                if (slab.users == 0 && (full || slab.rowsLeft <= 0)) {
                    i.remove();
                    return slab;
                }
            }
            if (full || slabs.size() < most) {
                return new Slab();
            }
        }
    }

    /** Ends the use of a slab of which so many rows were read. */
    synchronized void release(Slab slab, int rows) {
        slab.users--;
        slab.rowsLeft -= rows;
    }

    /** Working memory with any contents; {@link #giveBack} follows. */
    Scratch scratch() {
        Scratch scratch = scratches.poll();
        return scratch == null ? new Scratch() : scratch;
    }

    /** Makes working memory another read's. */
    void giveBack(Scratch scratch) {
        scratches.add(scratch);
    }

    /** An array of at least a size: the given one, if it is large enough. */
    static byte[] grown(byte[] array, int size) {
        if (array.length >= size) {
            return array;
        }
        try {
            return new byte[size];
        } catch (OutOfMemoryError e) {
            Runtime runtime = Runtime.getRuntime();
            throw new InsufficientMemoryException(
                    "no heap memory to read quantized weights; raise -Xmx, or load with fewer threads",
                    size, runtime.maxMemory() - runtime.totalMemory() + runtime.freeMemory());
        }
    }
}
