package io.qwen4j.core.model;

import io.qwen4j.core.model.QwenConfig.DualChunk;
import io.qwen4j.core.model.QwenConfig.Rope;
import io.qwen4j.core.model.QwenConfig.Yarn;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.Rotations;
import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Rotary position embedding: angles and their cosines and sines in f64, rounded to f32 once. In f32 the angle itself would be off by up
 * to 0.03 at position 10^6.
 */
public final class Rotary {
    private final int headSize;
    private final RotaryFrequencies plain;
    private final RotaryFrequencies stretched;
    private final @Nullable DualChunk chunks;
    private final int centredTokens;

    /** Without key centres. */
    public Rotary(Rope rope, int headSize) {
        this(rope, headSize, 0);
    }

    /**
     * Computes the frequencies.
     *
     * @param rope base, scaling and chunks
     * @param headSize E
     * @param centredTokens tokens of a page whose keys have a centre, or 0 if keys are not centred
     */
    public Rotary(Rope rope, int headSize, int centredTokens) {
        this.headSize = headSize;
        this.centredTokens = centredTokens;
        Yarn yarn = rope.yarn();
        plain = RotaryFrequencies.plain(rope.theta(), headSize);
        stretched = yarn == null ? plain : plain.stretch(yarn, rope.theta());
        chunks = rope.dualChunk();
    }

    /**
     * Writes the rotations of the tokens of a batch, in the sections that {@link Rotations} tells.
     *
     * @param rotations (T, {@link io.qwen4j.core.ops.AttentionShape#rotationWidth()})
     */
    public void fill(Batch batch, Activation rotations) {
        FloatBuffer out = rotations.buffer();
        for (int b = 0; b < batch.sequences(); b++) {
            RotaryFrequencies frequencies = batch.stretched(b) ? stretched : plain;
            for (int t = batch.start(b); t < batch.start(b + 1); t++) {
                int at = t * rotations.columns();
                if (chunks == null) {
                    frequencies.write(batch.position(t), 1, out, at + Rotations.KEY * headSize);
                } else {
                    double scale = queryScale(chunks, Math.max(batch.promptLength(b), batch.position(t) + 1));
                    fill(chunks, batch.position(t), frequencies, scale, out, at);
                    if (batch.sparse(b) && chooses(chunks, batch, b, t)) {
                        fillUncapped(chunks, batch.position(t), frequencies, scale, out, at);
                    }
                }
                if (centredTokens > 0 && batch.position(t) % centredTokens == 0) {
                    // Where a chunk ends within the page, later keys are farther from it; any centre is exact.
                    int first = chunks == null ? batch.position(t) : batch.position(t) % chunks.chunkLength();
                    frequencies.writeMean(first, centredTokens, out, at + rotations.columns() - headSize);
                }
            }
        }
    }

    private void fill(DualChunk c, int position, RotaryFrequencies frequencies, double scale, FloatBuffer out, int at) {
        long length = c.chunkLength();
        long offset = position % length;
        frequencies.write(offset, 1, out, at + Rotations.KEY * headSize);
        frequencies.write(offset, scale, out, at + Rotations.SAME_CHUNK * headSize);
        frequencies.write(Math.min(length + offset, c.chunkSize()), scale, out, at + Rotations.CHUNK_BEFORE * headSize);
        frequencies.write(Math.min(2 * length - 1, c.chunkSize()), scale, out, at + Rotations.OLDER_CHUNKS * headSize);
    }

    /** Whether token t may be one of the last queries of a run, which choose keys: runs end with slices and with chunks. */
    private static boolean chooses(DualChunk c, Batch batch, int b, int t) {
        int toChunkEnd = c.chunkLength() - batch.position(t) % c.chunkLength();
        return Math.min(batch.start(b + 1) - t, toChunkEnd) <= KeyChoice.LAST_QUERIES;
    }

    private void fillUncapped(DualChunk c, int position, RotaryFrequencies frequencies, double scale, FloatBuffer out, int at) {
        long length = c.chunkLength();
        long offset = position % length;
        frequencies.write(length + offset, scale, out, at + Rotations.UNCAPPED_CHUNK_BEFORE * headSize);
        frequencies.write(c.chunkSize() + offset, scale, out, at + Rotations.UNCAPPED_OLDER_CHUNKS * headSize);
    }

    /**
     * Factor on the logits of a query in a text of a length. It belongs half to the query and half to the keys; here the query has all of
     * it, so that cached keys do not depend on how long their text becomes.
     */
    static double queryScale(DualChunk chunks, int length) {
        int original = chunks.originalContextLength();
        if (original == 0 || length <= original) {
            return 1;
        }
        double side = 0.1 * Math.log((double) length / original) + 1;
        return side * side;
    }
}
