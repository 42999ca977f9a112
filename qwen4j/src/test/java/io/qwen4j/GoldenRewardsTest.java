package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.qwen4j.core.format.safetensors.SafetensorsEntry;
import io.qwen4j.core.format.safetensors.SafetensorsFile;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.ServiceLoader;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The golden reward models of the core's tests give their rewards on every instruction set, with the same bits beside others. */
class GoldenRewardsTest {
    @TempDir
    private Path directory;

    static Stream<InstructionSet> sets() {
        OpsProvider provider = ServiceLoader.load(OpsProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(p -> p.device() == Device.CPU)
                .findFirst()
                .orElseThrow();
        assumeTrue(provider.unavailabilityCause().isEmpty(), () -> "no native kernels to test: " + provider.unavailabilityCause());
        return Stream.of(InstructionSet.values()).filter(set -> runs(provider, set));
    }

    private static boolean runs(OpsProvider provider, InstructionSet set) {
        try (Ops ops = provider.create(new OpsOptions(1, set))) {
            return true;
        } catch (BackendUnavailableException e) {
            return false;
        }
    }

    private static LoadOptions.Builder options(InstructionSet set) {
        return LoadOptions.builder().device(Device.CPU).instructionSet(set).threads(2).kvCache(KvCacheType.F32);
    }

    @ParameterizedTest
    @MethodSource("sets")
    void rewardsAreGolden(InstructionSet set) throws Exception {
        unpack("reward");
        int[] ids = ints("input_ids");
        float[] expected = floats("reward");
        double deviation = deviation(expected);
        for (int slice : new int[] {512, 5}) {
            try (RewardModel model = RewardModel.load(directory, options(set).prefillSlice(slice).build())) {
                double[] alone = new double[ids.length];
                for (int n = 1; n <= ids.length; n++) {
                    alone[n - 1] = model.score(Arrays.copyOf(ids, n));
                    assertEquals(expected[n - 1], alone[n - 1], 2e-5 * deviation, set + ", after " + n + " tokens");
                }
                List<CompletableFuture<Double>> beside = IntStream.rangeClosed(1, ids.length)
                        .mapToObj(n -> CompletableFuture.supplyAsync(() -> model.score(Arrays.copyOf(ids, n))))
                        .toList();
                for (int i = 0; i < alone.length; i++) {
                    assertEquals(alone[i], beside.get(i).join(), set + ", " + (i + 1) + " tokens beside others");
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("sets")
    void probabilitiesOfStepsAreGolden(InstructionSet set) throws Exception {
        unpack("process-reward");
        int[] ids = ints("input_ids");
        float[] logits = floats("reward");
        int[] all = IntStream.range(0, ids.length).toArray();
        for (int slice : new int[] {512, 5}) {
            try (RewardModel model = RewardModel.load(directory, options(set).prefillSlice(slice).build())) {
                List<Double> found = model.scoreSteps(ids, all);
                for (int i = 0; i < ids.length; i++) {
                    double wrong = Math.exp(logits[2 * i]);
                    double right = Math.exp(logits[2 * i + 1]);
                    assertEquals(right / (wrong + right), found.get(i), 1e-5, set + ", at token " + i);
                }
                assertEquals(List.of(found.get(3), found.get(20)), model.scoreSteps(ids, new int[] {3, 20}), "fewer rows, same bits");
            }
        }
    }

    /** Weights in 8 bits: the head stays in BF16, activations meet the rest in 8 bits. */
    @ParameterizedTest
    @MethodSource("sets")
    void convertedWeightsGiveNearlyTheSame(InstructionSet set) throws Exception {
        unpack("reward");
        int[] ids = ints("input_ids");
        float[] expected = floats("reward");
        double squares = 0;
        try (RewardModel model = RewardModel.load(directory, options(set).quantization(WeightType.Q8_0).build())) {
            for (int n = 1; n <= ids.length; n++) {
                double error = expected[n - 1] - model.score(Arrays.copyOf(ids, n));
                squares += error * error / ids.length;
            }
        }
        double error = Math.sqrt(squares) / deviation(expected);
        // Measured: 0.029.
        assertTrue(error < 0.06, set + ": " + error);
    }

    private static double deviation(float[] values) {
        double sum = 0;
        double squares = 0;
        for (float v : values) {
            sum += v;
            squares += (double) v * v;
        }
        double mean = sum / values.length;
        return Math.sqrt(squares / values.length - mean * mean);
    }

    private void unpack(String name) throws IOException, URISyntaxException {
        Path golden = Path.of(GoldenRewardsTest.class.getResource("/golden/" + name).toURI());
        try (Stream<Path> sources = Files.list(golden)) {
            for (Path source : (Iterable<Path>) sources::iterator) {
                String file = source.getFileName().toString();
                boolean packed = file.endsWith(".gz");
                try (InputStream bytes = Files.newInputStream(source);
                        InputStream in = packed ? new GZIPInputStream(bytes) : bytes) {
                    Files.copy(in, directory.resolve(packed ? file.substring(0, file.length() - 3) : file));
                }
            }
        }
    }

    private int[] ints(String tensor) {
        ByteBuffer bytes = bytes(tensor);
        int[] values = new int[bytes.remaining() / 4];
        bytes.asIntBuffer().get(values);
        return values;
    }

    private float[] floats(String tensor) {
        ByteBuffer bytes = bytes(tensor);
        float[] values = new float[bytes.remaining() / 4];
        bytes.asFloatBuffer().get(values);
        return values;
    }

    private ByteBuffer bytes(String tensor) {
        try (SafetensorsFile in = SafetensorsFile.open(directory.resolve("golden.safetensors"), ModelLimits.DEFAULT)) {
            SafetensorsEntry entry = in.entries().get(tensor);
            ByteBuffer bytes = ByteBuffer.allocate((int) entry.bytes());
            in.file().read(in.start(entry), bytes);
            return bytes.flip().order(ByteOrder.LITTLE_ENDIAN);
        }
    }
}
