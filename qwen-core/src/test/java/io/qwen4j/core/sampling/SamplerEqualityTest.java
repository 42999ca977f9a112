package io.qwen4j.core.sampling;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.qwen4j.NumericException;
import io.qwen4j.SamplingOptions;
import io.qwen4j.core.ops.Activation;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.LogitSelection;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The sampler chooses what the plain one chooses, token for token, whatever the logits look like. */
class SamplerEqualityTest {
    /** Less than a block, blocks with and without a remainder, and ids of more bits than a digit of the radix sort has. */
    private static final int[] SIZES = {1, 2, 37, 511, 512, 513, 2050};

    private static final int[] PROMPT = {0, 0};

    /** Tokens for which the whole row had to be looked at although there was a selection. */
    private static int looks;

    enum Shape {
        FLAT {
            @Override
            float logit(Random random) {
                return (float) random.nextGaussian();
            }
        },
        PEAKED {
            @Override
            float logit(Random random) {
                return random.nextInt(200) == 0 ? 20 + random.nextFloat() * 3 : (float) random.nextGaussian() * 3;
            }
        },
        /** So steep that most weights are 0. */
        STEEP {
            @Override
            float logit(Random random) {
                return (float) random.nextGaussian() * 1000;
            }
        },
        TIED {
            @Override
            float logit(Random random) {
                return random.nextInt(4);
            }
        },
        EQUAL {
            @Override
            float logit(Random random) {
                return -2.5f;
            }
        },
        /** Equal, but of two signs. */
        ZEROS {
            @Override
            float logit(Random random) {
                return random.nextBoolean() ? 0f : -0f;
            }
        },
        /** With zeros, numbers around them and forbidden tokens. */
        MIXED {
            @Override
            float logit(Random random) {
                switch (random.nextInt(6)) {
                    case 0:
                        return Float.NEGATIVE_INFINITY;
                    case 1:
                        return random.nextBoolean() ? Float.MIN_VALUE : -Float.MIN_VALUE;
                    case 2:
                        return random.nextBoolean() ? 0f : -0f;
                    default:
                        return random.nextInt(9) - 6 + random.nextInt(2) * 1e-6f;
                }
            }
        },
        FEW_ALLOWED {
            @Override
            float logit(Random random) {
                return random.nextInt(100) == 0 ? (float) random.nextGaussian() : Float.NEGATIVE_INFINITY;
            }
        },
        /** Of every size that floats have. */
        EXTREME {
            @Override
            float logit(Random random) {
                float value = Float.intBitsToFloat(random.nextInt());
                return value < Float.POSITIVE_INFINITY ? value : -Float.MAX_VALUE;
            }
        };

        abstract float logit(Random random);
    }

    static Stream<SamplingOptions> options() {
        return Stream.of(0f, 1e-30f, 0.3f, 0.8f, 1f, 100f).flatMap(temperature -> Stream.of(
                plain(temperature),
                plain(temperature).topK(20).topP(0.8f).repetitionPenalty(1.05f),
                plain(temperature).topK(700),
                plain(temperature).topP(0.9f),
                plain(temperature).topP(0.9f).presencePenalty(1).frequencyPenalty(0.5f).logitBias(Map.of(0, 1f)),
                plain(temperature).topP(Math.nextDown(1f)),
                plain(temperature).topP(Math.nextUp(0f)),
                plain(temperature).minP(0.05f),
                plain(temperature).minP(1),
                plain(temperature).minP(Float.MIN_VALUE),
                plain(temperature).topP(0.7f).minP(0.3f),
                plain(temperature).typicalP(0.9f),
                plain(temperature).typicalP(Math.nextDown(1f)),
                plain(temperature).minP(0.1f).typicalP(0.5f),
                plain(temperature).topK(30).typicalP(0.6f),
                plain(temperature).topP(0.95f).typicalP(0.8f)).map(SamplingOptions.Builder::build));
    }

    private static SamplingOptions.Builder plain(float temperature) {
        return SamplingOptions.builder().temperature(temperature);
    }

    @ParameterizedTest
    @EnumSource
    void aSeedGivesTheTokensOfThePlainSampler(Shape shape) {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int size : SIZES) {
            options().forEach(options -> compare(options.toBuilder().seed(random.nextLong()).build(), size, shape, random, seed));
        }
    }

    private static void compare(SamplingOptions options, int sampleable, Shape shape, Random random, long seed) {
        int rows = sampleable + 3;
        Sampler sampler = new Sampler(options, rows, sampleable, PROMPT);
        Sampler selecting = new Sampler(options, rows, sampleable, PROMPT);
        PlainSampler plain = new PlainSampler(options, rows, sampleable, PROMPT);
        for (int token = 0; token < 3; token++) {
            float[] row = row(shape, rows, random);
            row[random.nextInt(sampleable)] = 0.25f;
            String what = "seed " + seed + ": " + shape + ", " + sampleable + " tokens, " + options;
            int expected = plain.sample(row);
            assertEquals(expected, sampler.sample(FloatBuffer.wrap(row), 0), what);
            int selected = select(selecting, row, sampleable);
            if (selected == Sampler.NEEDS_ROW) {
                looks++;
                selected = selecting.sample(FloatBuffer.wrap(row), 0);
            }
            assertEquals(expected, selected, what + ", selected");
        }
    }

    /** Chooses by a selection from the second of two rows, the first of which is greater. */
    private static int select(Sampler sampler, float[] row, int sampleable) {
        try (Ops ops = new JavaOps(new OpsOptions(1, null));
                Activation logits = ops.activation(2, row.length);
                LogitSelection selection = new LogitSelection(ops, 2, 4, row.length, sampleable)) {
            for (int id = 0; id < row.length; id++) {
                logits.buffer().put(id, Float.MAX_VALUE).put(row.length + id, row[id]);
            }
            // What is foreseen changes nothing.
            if (!sampler.select(selection, 1, new int[] {9, 0, row.length - 1}, 1, 3)) {
                return Sampler.NEEDS_ROW;
            }
            ops.selectLogits(logits, selection);
            return sampler.sample(selection, 1);
        }
    }

    private static float[] row(Shape shape, int rows, Random random) {
        float[] row = new float[rows];
        for (int id = 0; id < rows; id++) {
            row[id] = shape.logit(random);
        }
        return row;
    }

    /** The size of Qwen2.5. */
    @ParameterizedTest
    @EnumSource(names = {"FLAT", "PEAKED", "TIED"})
    void aWholeVocabulary(Shape shape) {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        List<SamplingOptions.Builder> builders = List.of(
                plain(0.8f),
                plain(0.7f).topK(20).topP(0.8f).repetitionPenalty(1.05f),
                plain(0.8f).topP(0.9f),
                plain(0.8f).minP(0.05f),
                plain(0.8f).topP(0.95f).typicalP(0.8f));
        for (SamplingOptions.Builder builder : builders) {
            compare(builder.seed(random.nextLong()).build(), 151_665, shape, random, seed);
        }
    }

    /** What is sampled from is with usual options among the first ones of the whole vocabulary. */
    @Test
    void aSelectionDoesWithUsualOptions() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        looks = 0;
        for (Shape shape : new Shape[] {Shape.STEEP, Shape.TIED, Shape.FLAT}) {
            compare(plain(0).seed(random.nextLong()).build(), 151_665, shape, random, seed);
            compare(plain(0).repetitionPenalty(1.1f).seed(random.nextLong()).build(), 151_665, shape, random, seed);
            compare(plain(0.7f).topK(20).topP(0.8f).repetitionPenalty(1.05f).seed(random.nextLong()).build(), 151_665, shape, random, seed);
            compare(plain(1).topK(LogitSelection.MOST_CANDIDATES).minP(0.02f).typicalP(0.9f).seed(random.nextLong()).build(), 151_665, shape, random, seed);
        }
        compare(plain(0.8f).topP(0.9f).presencePenalty(0.5f).seed(random.nextLong()).build(), 151_665, Shape.STEEP, random, seed);
        compare(plain(1).minP(0.05f).seed(random.nextLong()).build(), 151_665, Shape.STEEP, random, seed);
        assertEquals(0, looks);
        compare(plain(1).topP(0.9f).seed(random.nextLong()).build(), 151_665, Shape.FLAT, random, seed);
        compare(plain(1).seed(random.nextLong()).build(), 151_665, Shape.STEEP, random, seed);
        assertEquals(6, looks, "a nucleus of many tokens, and no filter");
    }

    @Test
    void noNumberIsAnErrorWhereverItIs() {
        int rows = 1100;
        options().forEach(options -> {
            Sampler sampler = new Sampler(options, rows, rows - 1, PROMPT);
            for (int bad : new int[] {0, 511, 512, 1023, 1024, rows - 1}) {
                for (float value : new float[] {Float.NaN, Float.intBitsToFloat(0xFFC00001), Float.POSITIVE_INFINITY}) {
                    float[] row = new float[rows];
                    row[bad] = value;
                    NumericException e = assertThrows(NumericException.class, () -> sampler.sample(FloatBuffer.wrap(row), 0));
                    assertEquals("the logit of token " + bad + " is " + value, e.getMessage().split(";")[0]);
                    Sampler selecting = new Sampler(options, rows, rows - 1, PROMPT);
                    NumericException same = assertThrows(NumericException.class, () -> {
                        if (select(selecting, row, rows - 1) == Sampler.NEEDS_ROW) {
                            selecting.sample(FloatBuffer.wrap(row), 0);
                        }
                    });
                    assertEquals(e.getMessage(), same.getMessage());
                }
            }
        });
    }

    /** Blocks of exponentials have the bits of single ones. */
    @ParameterizedTest
    @EnumSource(names = {"FLAT", "PEAKED", "STEEP", "MIXED", "EXTREME"})
    void blocksHaveTheSameExponentials(Shape shape) {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        Exponentials block = new Exponentials();
        for (float temperature : new float[] {1, 0.7f, 1e-30f, 1e-3f, 100}) {
            for (int round = 0; round < 100; round++) {
                float[] logits = row(shape, 7 + Exponentials.BLOCK, random);
                float max = 0;
                for (float logit : logits) {
                    max = Math.max(max, logit);
                }
                int n = round % 3 == 0 ? Exponentials.BLOCK : random.nextInt(Exponentials.BLOCK);
                block.takeRow(logits, 7, n, max, temperature);
                for (int i = 0; i < n; i++) {
                    double x = ((double) logits[7 + i] - max) / temperature;
                    assertEquals(Exponential.of(x), block.get(i), "seed " + seed + ": of " + x);
                }
            }
        }
    }
}
