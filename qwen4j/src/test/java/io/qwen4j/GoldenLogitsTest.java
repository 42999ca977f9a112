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
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The golden checkpoints of the core's tests give their logits on every instruction set, through the API. */
class GoldenLogitsTest {
    private static final List<String> CHECKPOINTS = List.of(
            "dense-gqa7", "dense-tied", "yarn", "yarn-new-keys", "dual-chunk", "dual-chunk-scaled", "moe", "moe-mixed");

    @TempDir
    private Path directory;

    static Stream<Arguments> setsAndCheckpoints() {
        OpsProvider provider = ServiceLoader.load(OpsProvider.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(p -> p.device() == Device.CPU)
                .findFirst()
                .orElseThrow();
        assumeTrue(provider.unavailabilityCause().isEmpty(), () -> "no native kernels to test: " + provider.unavailabilityCause());
        return Stream.of(InstructionSet.values())
                .filter(set -> runs(provider, set))
                .flatMap(set -> CHECKPOINTS.stream().map(name -> Arguments.of(set, name)));
    }

    private static boolean runs(OpsProvider provider, InstructionSet set) {
        try (Ops ops = provider.create(new OpsOptions(1, set))) {
            return true;
        } catch (BackendUnavailableException e) {
            return false;
        }
    }

    @ParameterizedTest
    @MethodSource("setsAndCheckpoints")
    void logitsAreGolden(InstructionSet set, String name) throws Exception {
        unpack(name);
        int[] ids = new int[values(directory, "input_ids").remaining() / 4];
        values(directory, "input_ids").asIntBuffer().get(ids);
        float[] expected = new float[values(directory, "logits").remaining() / 4];
        values(directory, "logits").asFloatBuffer().get(expected);
        for (int slice : new int[] {512, 5}) {
            LoadOptions options = LoadOptions.builder().device(Device.CPU).instructionSet(set).threads(2).kvCache(KvCacheType.F32)
                    .prefillSlice(slice).build();
            float[] found = new float[expected.length];
            try (QwenModel model = QwenModel.load(directory, options)) {
                int rows = model.info().vocabularyRows();
                assertEquals(expected.length, ids.length * rows);
                model.logits(ids, (position, row) -> row.get(found, position * rows, rows));
            }
            double bound = 2e-5 * deviation(expected);
            for (int i = 0; i < expected.length; i++) {
                int at = i;
                assertTrue(Math.abs(expected[i] - found[i]) <= bound,
                        () -> set + ", " + name + ": logit " + at + " is " + found[at] + ", expected " + expected[at] + " within " + bound);
            }
        }
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
        Path golden = Path.of(GoldenLogitsTest.class.getResource("/golden/" + name).toURI());
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

    private static ByteBuffer values(Path directory, String tensor) {
        try (SafetensorsFile in = SafetensorsFile.open(directory.resolve("golden.safetensors"), ModelLimits.DEFAULT)) {
            SafetensorsEntry entry = in.entries().get(tensor);
            ByteBuffer bytes = ByteBuffer.allocate((int) entry.bytes());
            in.file().read(in.start(entry), bytes);
            return bytes.flip().order(ByteOrder.LITTLE_ENDIAN);
        }
    }
}
