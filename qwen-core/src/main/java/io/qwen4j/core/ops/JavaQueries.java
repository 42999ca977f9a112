package io.qwen4j.core.ops;

/** Query heads of a token, rotated for the keys of each range. */
final class JavaQueries {
    private static final int[] CAPPED = {Rotations.SAME_CHUNK, Rotations.CHUNK_BEFORE, Rotations.OLDER_CHUNKS};
    private static final int[] UNCAPPED = {
        Rotations.SAME_CHUNK, Rotations.UNCAPPED_CHUNK_BEFORE, Rotations.UNCAPPED_OLDER_CHUNKS
    };

    private final AttentionShape shape;
    private final int heads;
    private final float[] values;

    JavaQueries(AttentionShape shape, int heads) {
        this.shape = shape;
        this.heads = heads;
        values = new float[CAPPED.length * heads * shape.headSize()];
    }

    boolean isOf(AttentionShape other) {
        return shape.equals(other);
    }

    /**
     * Rotates the heads of token t.
     *
     * @param uncapped whether distances to other chunks are not capped
     */
    void rotate(float[] qkv, float[] rotations, int t, int firstHead, boolean uncapped) {
        int size = shape.headSize();
        int from = t * shape.qkvWidth() + firstHead * size;
        if (shape.chunkLength() == 0) {
            System.arraycopy(qkv, from, values, 0, heads * size);
            return;
        }
        for (int range = 0; range < CAPPED.length; range++) {
            int section = uncapped ? UNCAPPED[range] : CAPPED[range];
            int rotation = t * shape.rotationWidth() + section * size;
            for (int h = 0; h < heads; h++) {
                Rotations.rotate(qkv, from + h * size, rotations, rotation, size, values, (range * heads + h) * size);
            }
        }
    }

    /** The product of head h with a key. */
    double dot(int h, int queryPosition, int keyPosition, float[] key) {
        int range = shape.chunkLength() == 0 ? 0 : shape.section(queryPosition, keyPosition) - Rotations.SAME_CHUNK;
        int at = (range * heads + h) * shape.headSize();
        double sum = 0;
        for (int i = 0; i < shape.headSize(); i++) {
            sum += (double) values[at + i] * key[i];
        }
        return sum;
    }
}
