package io.qwen4j.natives;

import static io.qwen4j.natives.Tensors.activation;
import static io.qwen4j.natives.Tensors.read;
import static io.qwen4j.natives.Tensors.values;
import static io.qwen4j.natives.Tolerance.assertClose;
import static io.qwen4j.natives.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.InstructionSet;
import io.qwen4j.KvCacheType;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.AttentionShape;
import io.qwen4j.core.ops.Batch;
import io.qwen4j.core.ops.KeyChoice;
import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;
import io.qwen4j.core.ops.Ops;
import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Choice of keys, attention to them, and log-sum-exp, over a step with a sparse slice beside dense ones. */
@Tag("kernels")
@NeedsNative
class SparseAttentionTest {
    private static final int COLUMNS = 70;
    private static final int DIAGONALS = 120;

    /**
     * A sequence whose last slice is sparse, between two that are dense.
     *
     * @param cached tokens before the slice
     * @param slice tokens of the slice
     */
    record Case(int group, int kvHeads, int headSize, int pageTokens, int chunk, int cached, int slice) {
        AttentionShape shape(KvCacheType type) {
            return new AttentionShape(
                    group * kvHeads, kvHeads, headSize, (float) (1 / Math.sqrt(headSize)), chunk, type == KvCacheType.INT8);
        }
    }

    private static final Case[] CASES = {
        new Case(2, 1, 16, 16, 0, 500, 200),
        new Case(7, 2, 64, 32, 0, 512, 65),
        new Case(3, 1, 48, 32, 0, 0, 700),
        new Case(2, 2, 32, 32, 150, 500, 170),
        new Case(1, 1, 128, 64, 97, 300, 330),
        new Case(2, 1, 16, 32, 1000, 1300, 64),
        // Too short to choose.
        new Case(2, 1, 16, 16, 0, 100, 155),
    };

    /** What all instruction sets are held against: the slow half of this test, computed once. */
    private record Definition(Ops java, Step step, float[] chosen, float[] all) {
        static Definition of(Case c, KvCacheType type) {
            Ops java = Instances.java();
            Step step = new Step(java, c, type);
            step.choose();
            return new Definition(java, step, step.attend(step.choice), step.attend(null));
        }
    }

    private static final Map<List<Object>, Definition> DEFINITIONS = new HashMap<>();

    @AfterAll
    static void forget() {
        for (Definition definition : DEFINITIONS.values()) {
            definition.step.close();
            definition.java.close();
        }
        DEFINITIONS.clear();
    }

    static Stream<Arguments> setsAndTypes() {
        return Instances.instructionSets().flatMap(set -> Arrays.stream(KvCacheType.values()).map(type -> Arguments.of(set, type)));
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void agreesWithTheDefinition(InstructionSet set, KvCacheType type) {
        for (Case c : CASES) {
            String name = set + " " + type + ", " + c;
            Definition expected = DEFINITIONS.computeIfAbsent(List.of(c, type), key -> Definition.of(c, type));
            try (Ops cpu = Instances.cpu(set, 2, ActivationPrecision.INT16);
                    Step actual = new Step(cpu, c, type)) {
                actual.choose();
                assertSameKeys(expected.step.choice, actual.choice, name);
                // From here on with the same keys, so that near ties do not matter.
                IntBuffer chosen = expected.step.choice.memory().buffer();
                for (int i = 0; i < chosen.capacity(); i++) {
                    actual.choice.memory().buffer().put(i, chosen.get(i));
                }
                double bound = type == KvCacheType.F32 ? 2e-5 : 4e-3;
                assertClose(expected.chosen, actual.attend(actual.choice), bound, name);
                assertClose(expected.all, actual.attend(null), bound, name + ", all keys");
            }
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void sameBitsOnAnyNumberOfThreads(InstructionSet set, KvCacheType type) {
        for (Case c : CASES) {
            if (Instances.CUDA && c.cached() + c.slice() > 600) {
                continue; // A device knows no threads: what is left to compare is two instances.
            }
            try (Ops one = Instances.cpu(set, 1);
                    Ops three = Instances.cpu(set, 3);
                    Step expected = new Step(one, c, type);
                    Step actual = new Step(three, c, type)) {
                expected.choose();
                actual.choose();
                assertSameBits(expected.attend(expected.choice), actual.attend(actual.choice), set + " " + type + ", " + c);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndTypes")
    void aDamagedChoiceIsRefused(InstructionSet set, KvCacheType type) {
        Case c = new Case(1, 1, 16, 16, 150, 200, 120);
        try (Ops cpu = Instances.cpu(set, 2);
                Step step = new Step(cpu, c, type)) {
            step.choose();
            IntBuffer ints = step.choice.memory().buffer();
            int[] whole = new int[ints.capacity()];
            for (int i = 0; i < whole.length; i++) {
                whole[i] = ints.get(i);
            }
            int refused = 0;
            int choices = whole[6];
            // A step on an emulated device takes a hundred times as long.
            int stride = Instances.CUDA ? 29 : 1;
            for (int at = 0; at < whole.length; at += stride) {
                for (int value : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, whole.length, 7}) {
                    for (int i = 0; i < whole.length; i++) {
                        ints.put(i, whole[i]);
                    }
                    ints.put(at, value);
                    // Whatever the damage, each call returns or is an IllegalArgumentException; some damage is a valid choice.
                    refused += attempt(() -> step.attend(step.choice));
                    // The choices themselves are what choosing writes, not what it reads.
                    refused += at > choices ? 0 : attempt(step::choose);
                }
            }
            assertTrue(refused > 100 / stride, refused + " calls refused");
            for (int i = 0; i < whole.length; i++) {
                ints.put(i, whole[i]);
            }
            ints.put(4, Integer.MAX_VALUE);
            assertThrows(IllegalArgumentException.class, () -> step.attend(step.choice));
        }
    }

    private static int attempt(Runnable call) {
        try {
            call.run();
            return 0;
        } catch (IllegalArgumentException e) {
            return 1;
        }
    }

    /** Sums in f32 order keys differently only where they are as good as equal: one in twenty may differ. */
    private static void assertSameKeys(KeyChoice expected, KeyChoice actual, String name) {
        assertEquals(expected.runs(), actual.runs(), name);
        for (int run = 0; run < expected.runs(); run++) {
            for (int head = 0; head < expected.heads(); head++) {
                String of = name + ", run " + run + ", head " + head;
                assertEquals(expected.all(run, head), actual.all(run, head), of);
                assertEquals(expected.columns(run, head), actual.columns(run, head), of);
                assertEquals(expected.diagonals(run, head), actual.diagonals(run, head), of);
                Set<Integer> missing = new HashSet<>();
                for (int i = 0; i < expected.columns(run, head); i++) {
                    missing.add(expected.column(run, head, i));
                }
                for (int i = 0; i < expected.diagonals(run, head); i++) {
                    missing.add(-1 - expected.diagonal(run, head, i));
                }
                int all = missing.size();
                for (int i = 0; i < actual.columns(run, head); i++) {
                    missing.remove(actual.column(run, head, i));
                }
                for (int i = 0; i < actual.diagonals(run, head); i++) {
                    missing.remove(-1 - actual.diagonal(run, head, i));
                }
                assertTrue(20 * missing.size() <= all, of + ": " + missing.size() + " of " + all + " differ");
            }
        }
    }

    /** One step of three sequences over a filled cache. */
    private static final class Step implements AutoCloseable {
        private final Ops ops;
        private final AttentionShape shape;
        private final KvCache cache;
        private final Batch batch;
        private final KeyChoice choice;
        private final Activation qkv;
        private final Activation rotations;
        private final Activation out;
        private final Activation logSumExp;

        Step(Ops ops, Case c, KvCacheType type) {
            this.ops = ops;
            shape = c.shape(type);
            int total = c.cached() + c.slice();
            int pages = (total + c.pageTokens() - 1) / c.pageTokens();
            int most = total + 40;
            cache = ops.kvCache(new KvLayout(type, 1, pages + 2 * (40 / c.pageTokens() + 1), c.pageTokens(), c.kvHeads(), c.headSize()));
            batch = new Batch(ops, most, 3, pages + 3, c.pageTokens());
            qkv = ops.activation(most, shape.qkvWidth());
            rotations = ops.activation(most, shape.rotationWidth());
            out = ops.activation(most, shape.queryWidth());
            logSumExp = ops.activation(most, shape.heads());
            choice = new KeyChoice(ops, KeyChoice.mostRuns(most, 3, c.chunk()), shape.heads(), COLUMNS, DIAGONALS);
            int[] table = new int[pages];
            for (int i = 0; i < pages; i++) {
                table[i] = pages - 1 - i;
            }
            int[] first = new int[40 / c.pageTokens() + 1];
            int[] last = new int[first.length];
            for (int i = 0; i < first.length; i++) {
                first[i] = pages + i;
                last[i] = pages + first.length + i;
            }
            if (c.cached() > 0) {
                batch.beginSequence(0, table, pages);
                fill(c, 1, c.cached());
                ops.rotateAndStore(qkv, null, rotations, batch, shape, cache, 0);
            }
            batch.clear();
            batch.beginSequence(0, first, first.length);
            fill(c, 0, 20);
            batch.beginSequence(c.cached(), table, pages);
            batch.markSparse();
            fill(c, 1, c.slice());
            batch.beginSequence(0, last, last.length);
            fill(c, 2, 1);
            ops.rotateAndStore(qkv, null, rotations, batch, shape, cache, 0);
        }

        private void fill(Case c, int seed, int count) {
            for (int i = 0; i < count; i++) {
                batch.addToken(0, false);
                int t = batch.tokens() - 1;
                int position = batch.position(t);
                // Heavy keys: every 37th, and whatever is 5 or 210 tokens away, by large common parts of queries and keys.
                float[] row = values(shape.qkvWidth(), new Random(1_000_003L * seed + position));
                for (int h = 0; h < shape.heads() + shape.kvHeads(); h++) {
                    row[h * c.headSize()] += h < shape.heads() || position % 37 == 0 ? 3 : 0;
                }
                qkv.buffer().put(t * shape.qkvWidth(), row);
                float[] turns = new float[shape.rotationWidth()];
                double offset = c.chunk() == 0 ? position : position % c.chunk();
                double[] positions = {
                    offset, offset, Math.min(offset + c.chunk(), 1.5 * c.chunk()), 1.8 * c.chunk(), offset + c.chunk(), offset + 2.0 * c.chunk()
                };
                for (int section = 0; section < turns.length / c.headSize(); section++) {
                    for (int e = 0; e < c.headSize() / 2; e++) {
                        double angle = positions[section] * Math.pow(10000, -2.0 * e / c.headSize());
                        turns[section * c.headSize() + e] = (float) Math.cos(angle);
                        turns[section * c.headSize() + c.headSize() / 2 + e] = (float) Math.sin(angle);
                    }
                    if (section + 1 == positions.length || c.chunk() == 0) {
                        break;
                    }
                }
                rotations.buffer().put(t * shape.rotationWidth(), turns);
            }
        }

        void choose() {
            choice.begin(batch, shape);
            for (int h = 0; h < shape.heads(); h++) {
                choice.budget(h, COLUMNS - h % 3, DIAGONALS - h % 5);
            }
            ops.chooseKeys(qkv, rotations, batch, shape, cache, 0, choice);
        }

        /** Outputs, then log-sum-exp of all tokens. */
        float[] attend(@Nullable KeyChoice keys) {
            ops.attention(qkv, rotations, batch, shape, cache, 0, keys, out, logSumExp);
            float[] attended = Arrays.copyOf(read(out), batch.tokens() * shape.queryWidth());
            float[] sums = Arrays.copyOf(read(logSumExp), batch.tokens() * shape.heads());
            float[] both = Arrays.copyOf(attended, attended.length + sums.length);
            System.arraycopy(sums, 0, both, attended.length, sums.length);
            return both;
        }

        @Override
        public void close() {
            for (AutoCloseable closeable : new AutoCloseable[] {choice, logSumExp, out, rotations, qkv, batch, cache}) {
                try {
                    closeable.close();
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }
        }
    }
}
