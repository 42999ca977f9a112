package io.qwen4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.qwen4j.core.model.QwenConfig.DualChunk;
import io.qwen4j.core.model.QwenConfig.Rope;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.Rotations;
import java.util.StringJoiner;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Positions and scales of dual chunk attention, against matrices and numbers worked by hand from the reference implementation. */
class DualChunkTest {
    private static final int SIZE = 16;

    @ParameterizedTest
    @CsvSource({
        "4, 4 3 2 1 0",
        "8, 8 7 6 5 4 3 2 1 0",
        "9, 8 7 6 5 4 4 3 2 1 0",
        "10, 8 7 6 5 4 5 4 3 2 1 0",
        "12, 8 7 6 5 4 7 6 5 4 3 2 1 0",
        "13, 8 7 6 5 4 8 7 6 5 4 3 2 1 0",
        "14, 8 7 6 5 4 8 7 6 5 4 4 3 2 1 0"
    })
    void distances(int query, String expected) {
        assertEquals(expected, distances(new DualChunk(8, 3, 0), query));
    }

    @Test
    void aChunkThatIsLongerThanItsNeighbourhoodCapsTheDistanceOfOlderChunks() {
        // W > C: S = 8, C = 3; older keys are 2C - 1 = 5 away from offset 0.
        assertEquals("5 4 3 5 4 3 2 1 0", distances(new DualChunk(8, 5, 0), 8));
        // W = 0: one chunk is as long as the largest distance.
        assertEquals("3 2 1 2 1 0", distances(new DualChunk(3, 0, 0), 5));
    }

    @Test
    void upToTheChunkSizeDistancesArePlain() {
        DualChunk chunks = new DualChunk(32, 8, 0);
        for (int query = 0; query <= 32; query++) {
            StringJoiner plain = new StringJoiner(" ");
            for (int key = 0; key <= query; key++) {
                plain.add(String.valueOf(query - key));
            }
            assertEquals(plain.toString(), distances(chunks, query), "query " + query);
        }
    }

    /** Distance to every key up to the query's, read back from the angles. */
    private static String distances(DualChunk chunks, int query) {
        Rotary rotary = new Rotary(new Rope(1e6, null, chunks), SIZE);
        AttentionShape shape = new AttentionShape(1, 1, SIZE, 1, chunks.chunkLength());
        StringJoiner distances = new StringJoiner(" ");
        try (Ops ops = new JavaOps(new OpsOptions(1, null));
                Batch batch = new Batch(ops, query + 1, 1, query + 1, 1);
                Activation rotations = ops.activation(query + 1, shape.rotationWidth())) {
            batch.beginSequence(0, new int[query + 1], query + 1);
            for (int p = 0; p <= query; p++) {
                batch.addToken(0, false);
            }
            rotary.fill(batch, rotations);
            for (int key = 0; key <= query; key++) {
                double distance = position(rotations, query, shape.section(query, key)) - position(rotations, key, Rotations.KEY);
                distances.add(String.valueOf(Math.round(distance)));
            }
        }
        return distances.toString();
    }

    private static double position(Activation rotations, int row, int section) {
        int at = row * rotations.columns() + section * SIZE;
        int slowest = SIZE / 2 - 1;
        double angle = Math.atan2(rotations.buffer().get(at + SIZE / 2 + slowest), rotations.buffer().get(at + slowest));
        return angle / RotaryFrequencies.plain(1e6, SIZE).frequency(slowest);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1", "262144, 1", "300000, 1.013489", "524288, 1.069315", "1000000, 1.133886", "1010000, 1.134881", "1048576, 1.138629"
    })
    void scales(int length, double side) {
        double scale = Rotary.queryScale(new DualChunk(262144, 8192, 262144), length);
        assertEquals(side, Math.sqrt(scale), 1e-6);
        assertEquals(1, Rotary.queryScale(new DualChunk(262144, 8192, 0), length));
    }

    /** A token of the prompt is scaled for the whole prompt, in whatever slice it comes; one of the answer for what is there by then. */
    @Test
    void theScaleOfAPromptIsThatOfItsEnd() {
        DualChunk chunks = new DualChunk(32, 8, 40);
        Rotary rotary = new Rotary(new Rope(1e6, null, chunks), SIZE);
        try (Ops ops = new JavaOps(new OpsOptions(1, null));
                Batch batch = new Batch(ops, 4, 2, 200, 1);
                Activation rotations = ops.activation(4, Rotations.SECTIONS * SIZE)) {
            batch.beginSequence(3, new int[200], 200, 131, true);
            batch.addToken(0, false);
            batch.beginSequence(130, new int[200], 200, 131, true);
            batch.addToken(0, false);
            batch.addToken(0, false);
            rotary.fill(batch, rotations);
            double prompt = Rotary.queryScale(chunks, 131);
            assertEquals(prompt, length(rotations, 0, Rotations.SAME_CHUNK), 1e-6);
            assertEquals(prompt, length(rotations, 1, Rotations.OLDER_CHUNKS), 1e-6);
            assertEquals(Rotary.queryScale(chunks, 132), length(rotations, 2, Rotations.CHUNK_BEFORE), 1e-6);
            assertEquals(1, length(rotations, 0, Rotations.KEY), 1e-6);
        }
    }

    private static double length(Activation rotations, int row, int section) {
        int at = row * rotations.columns() + section * SIZE;
        return Math.hypot(rotations.buffer().get(at), rotations.buffer().get(at + SIZE / 2));
    }
}
