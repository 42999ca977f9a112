package io.qwen4j.core.model;

import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * Working memory of the conversions of one load. It is passed on from piece to piece: as garbage it would add up to several times the
 * model, and the heap would grow by hundreds of megabytes before anyone collected it.
 */
final class ConversionBuffers {
    private final ConcurrentLinkedQueue<Buffers> idle = new ConcurrentLinkedQueue<>();

    /** Memory of one piece of work; grows to the largest piece. */
    static final class Buffers {
        byte[] in = new byte[0];
        byte[] out = new byte[0];
        float[] values = new float[0];

        private void fit(int inBytes, int outBytes, int valueCount) {
            if (in.length < inBytes) {
                in = new byte[inBytes];
            }
            if (out.length < outBytes) {
                out = new byte[outBytes];
            }
            if (values.length < valueCount) {
                values = new float[valueCount];
            }
        }
    }

    /** Memory of at least these sizes, with any contents. */
    Buffers take(int inBytes, int outBytes, int valueCount) {
        Buffers buffers = idle.poll();
        if (buffers == null) {
            buffers = new Buffers();
        }
        buffers.fit(inBytes, outBytes, valueCount);
        return buffers;
    }

    /** Makes the memory another piece's. */
    void giveBack(Buffers buffers) {
        idle.add(buffers);
    }
}
