package io.qwen4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.QwenTensors;
import io.qwen4j.natives.EmulatedDevice;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** Models on an emulated CUDA device whose memory is short, shrinks or cannot be had, and models that it has no kernels for. */
@EnabledIfSystemProperty(named = "qwen.test.device", matches = "cuda", disabledReason = "of the run on an emulated device")
class CudaMemoryTest {
    private static final int LONGEST = 32_768;
    private static final int SHORTEST = 2048;

    @TempDir
    private Path directory;

    private long before;

    @BeforeEach
    void count() throws Exception {
        NativeSets.provider();
        before = EmulatedDevice.liveObjects();
    }

    @AfterEach
    void nothingIsLeft() {
        EmulatedDevice.reset();
        assertEquals(0, EmulatedDevice.takenBytes(), "memory of the device that was not freed");
        assertEquals(before, EmulatedDevice.liveObjects(), "native objects that were not freed");
        assertEquals(0, EmulatedDevice.faults(), "memory of the device was given back that was not taken");
    }

    /** A model made for 131,072 tokens, of which each takes 256 bytes in half precision. */
    private void unpack() throws Exception {
        GoldenCheckpoint.unpack("dense-gqa7", directory);
        Path config = directory.resolve("config.json");
        Files.writeString(config, Files.readString(config)
                .replace("\"max_position_embeddings\": 256", "\"max_position_embeddings\": 131072"));
    }

    private static LoadOptions.Builder cuda() {
        return LoadOptions.builder().device(Device.CUDA);
    }

    private static LoadOptions.Builder exactly(int context, int slice, KvCacheType type) {
        return cuda().contextLength(context).prefillSlice(slice).kvCache(type);
    }

    /** What exactly such a model takes of the device. */
    private long bytesOf(int context, int slice, KvCacheType type) {
        EmulatedDevice.resize(1);
        InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class,
                () -> QwenModel.load(directory, exactly(context, slice, type).build()));
        EmulatedDevice.reset();
        return e.requiredBytes();
    }

    private ModelInfo loaded(LoadOptions options) {
        try (QwenModel model = QwenModel.load(directory, options)) {
            GenerationOptions three =
                    GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(3).ignoreEndTokens(true).build();
            assertEquals(3, model.submit(new GenerationRequest.Tokens(List.of(1, 2, 3), three)).await().tokens().size());
            return model.info();
        }
    }

    private ModelInfo loadedWith(long bytes, LoadOptions options) {
        EmulatedDevice.resize(bytes);
        return loaded(options);
    }

    @Test
    void whatWasNotAskedForIsGivenUpStepByStep() throws Exception {
        unpack();
        LoadOptions open = cuda().build();
        long all = bytesOf(LONGEST, 512, KvCacheType.F16);
        long short512 = bytesOf(SHORTEST, 512, KvCacheType.F16);
        long short64 = bytesOf(SHORTEST, 64, KvCacheType.F16);
        long least = bytesOf(SHORTEST, 64, KvCacheType.INT8);
        assertTrue(all > short512 && short512 > short64 && short64 > least, all + ", " + short512 + ", " + short64 + ", " + least);

        assertEquals(LONGEST, loadedWith(all, open).contextLength());
        assertEquals(LONGEST - 32, loadedWith(all - 1, open).contextLength());
        assertEquals(SHORTEST, loadedWith(short512, open).contextLength());
        // Smaller slices leave room for a longer context.
        ModelInfo sliced = loadedWith(short512 - 1, open);
        assertTrue(sliced.contextLength() > SHORTEST, sliced.toString());
        assertEquals(256L * sliced.contextLength(), sliced.cacheBytes());
        ModelInfo halves = loadedWith(short64, open);
        assertEquals(SHORTEST, halves.contextLength());
        assertEquals(256L * SHORTEST, halves.cacheBytes());
        ModelInfo eightBits = loadedWith(short64 - 1, open);
        assertTrue(eightBits.contextLength() >= SHORTEST && eightBits.cacheBytes() < 180L * eightBits.contextLength(), eightBits.toString());
        assertEquals(SHORTEST, loadedWith(least, open).contextLength());

        EmulatedDevice.resize(least - 1);
        InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> QwenModel.load(directory, open));
        assertEquals(least, e.requiredBytes());
        assertEquals(least - 1, e.availableBytes());
        assertTrue(e.getMessage().contains("nothing would fit") && e.getMessage().contains("another device"), e.getMessage());
        // Whoever left the device open gets the CPU.
        ModelInfo host = loaded(LoadOptions.DEFAULT);
        assertTrue(host.backend().startsWith("cpu"), host.backend());
        assertEquals(LONGEST, host.contextLength());
        assertEquals(256L * LONGEST, host.cacheBytes());
    }

    @Test
    void whatWasAskedForIsKeptOrRefused() throws Exception {
        unpack();
        long room = bytesOf(SHORTEST + 320, 128, KvCacheType.F16);
        EmulatedDevice.resize(room);
        for (LoadOptions.Builder asked : List.of(
                cuda().contextLength(LONGEST),
                cuda().cacheTokens(4 * LONGEST),
                cuda().prefillSlice(4096),
                cuda().kvCache(KvCacheType.F32).prefillSlice(2048))) {
            InsufficientMemoryException e =
                    assertThrows(InsufficientMemoryException.class, () -> QwenModel.load(directory, asked.build()));
            assertEquals(room, e.availableBytes());
            assertTrue(e.requiredBytes() > room, e.getMessage());
            assertTrue(e.getMessage().contains("asked for: ") && e.getMessage().contains("what would fit is a context of 2"), e.getMessage());
        }
        // The rest gives way.
        ModelInfo f32 = loaded(cuda().kvCache(KvCacheType.F32).build());
        assertEquals(512L * f32.contextLength(), f32.cacheBytes());
        ModelInfo exact = loaded(exactly(SHORTEST + 320, 128, KvCacheType.F16).build());
        assertEquals(SHORTEST + 320, exact.contextLength());
        assertEquals(SHORTEST + 320, loaded(cuda().contextLength(SHORTEST + 320).build()).contextLength());
    }

    @Test
    void memoryThatHasGoneSinceItWasPlannedIsPlannedAgain() throws Exception {
        unpack();
        // 512 MiB of keys and values, more than what is left unused as a margin.
        int length = 1 << 21;
        assertEquals(length, loaded(cuda().yarn(Yarn.of(16)).build()).contextLength());
        // Another process takes of the rest while weights are read: all but what is enough for a shorter context, or everything.
        long room = bytesOf(LONGEST, 512, KvCacheType.F16);
        ProgressListener thief = (stage, done, total) -> EmulatedDevice.resize(room);
        ModelInfo info = loaded(cuda().yarn(Yarn.of(16)).progress(thief).build());
        assertTrue(info.backend().startsWith("cuda") && info.contextLength() >= SHORTEST && info.contextLength() <= LONGEST, info.toString());
        EmulatedDevice.reset();
        assertEquals(0, EmulatedDevice.takenBytes());

        ProgressListener greedy = (stage, done, total) -> EmulatedDevice.resize(EmulatedDevice.takenBytes());
        InsufficientMemoryException e =
                assertThrows(InsufficientMemoryException.class, () -> QwenModel.load(directory, cuda().progress(greedy).build()));
        assertTrue(e.requiredBytes() > e.availableBytes() && e.getMessage().contains("nothing would fit"), e.getMessage());
        EmulatedDevice.reset();
        assertEquals(0, EmulatedDevice.takenBytes());
        assertTrue(loaded(LoadOptions.builder().progress(greedy).build()).backend().startsWith("cpu"));
    }

    @Test
    void anAllocationThatFailsOnceCostsALittleContext() throws Exception {
        unpack();
        LoadOptions exact = exactly(SHORTEST, 64, KvCacheType.INT8).build();
        int hit = 0;
        for (long k = 1; ; k++) {
            EmulatedDevice.failAllocation(k);
            try (QwenModel model = QwenModel.load(directory, cuda().build())) {
                if (model.info().contextLength() == LONGEST) {
                    break;
                }
                hit++;
                assertTrue(model.info().contextLength() >= LONGEST / 2, "allocation " + k + ": " + model.info());
            }
            assertEquals(0, EmulatedDevice.takenBytes(), "after allocation " + k);
            EmulatedDevice.failAllocation(k);
            InsufficientMemoryException e =
                    assertThrows(InsufficientMemoryException.class, () -> QwenModel.load(directory, exact), "allocation " + k);
            assertTrue(e.getMessage().contains("asked for: a context of 2048 tokens"), e.getMessage());
            assertEquals(0, EmulatedDevice.takenBytes(), "after allocation " + k);
        }
        assertTrue(hit > 15, hit + " allocations");
    }

    /** Scratch is taken when it is first needed; in the step of a prompt, as shorter ones first take memory that they can do without. */
    @Test
    void anAllocationThatFailsInAStepEndsItsRequestAlone() throws Exception {
        unpack();
        GenerationOptions one = GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(1).build();
        try (QwenModel model = QwenModel.load(directory, cuda().build())) {
            EmulatedDevice.failAllocation(1);
            GenerationRequest.Tokens prompt = new GenerationRequest.Tokens(List.of(1, 2, 3, 4, 5, 6, 7, 8, 9), one);
            Generation failing = model.submit(prompt);
            assertThrows(InsufficientMemoryException.class, failing::await);
            assertEquals(1, model.submit(prompt).await().tokens().size());
        }
    }

    @Test
    void aStepThatCannotBeRecordedForLackOfMemoryRunsAllTheSame() throws Exception {
        unpack();
        GenerationOptions some = GenerationOptions.builder().sampling(SamplingOptions.GREEDY).maxTokens(5).ignoreEndTokens(true).build();
        try (QwenModel model = QwenModel.load(directory, cuda().build())) {
            GenerationRequest.Tokens prompt = new GenerationRequest.Tokens(List.of(1, 2, 3), some);
            EmulatedDevice.failAllocation(1);
            assertEquals(5, model.submit(prompt).await().tokens().size());
        }
    }

    @Test
    void aDeviceThatIsLostWhileLoadingIsToldAndLeavesNothing() throws Exception {
        unpack();
        for (long k : new long[] {1, 2, 3, 5, 8, 13, 21, 34, 55}) {
            EmulatedDevice.loseAt(k);
            assertThrows(DeviceLostException.class, () -> QwenModel.load(directory, cuda().build()), "call " + k);
            EmulatedDevice.reset();
            assertEquals(0, EmulatedDevice.takenBytes(), "after call " + k);
            // Lost behind the choice of the device: the host goes on.
            EmulatedDevice.loseAt(k + 8);
            assertTrue(loaded(LoadOptions.DEFAULT).backend().startsWith("cpu"), "call " + k);
            EmulatedDevice.reset();
        }
    }

    @Test
    void rewardModelsAndCalibrationGoToTheHostToo() throws Exception {
        EmulatedDevice.resize(1 << 20);
        GoldenCheckpoint.unpack("reward", directory);
        try (RewardModel model = RewardModel.load(directory, LoadOptions.DEFAULT)) {
            assertTrue(model.info().backend().startsWith("cpu"), model.info().backend());
        }
        assertThrows(InsufficientMemoryException.class, () -> RewardModel.load(directory, cuda().build()));
        Path language = Files.createDirectory(directory.resolve("language"));
        GoldenCheckpoint.unpack("dense-tied", language);
        int[] tokens = IntStream.range(0, 600).map(i -> i * 7 % 101).toArray();
        Path output = directory.resolve("budgets.json");
        assertThrows(InsufficientMemoryException.class,
                () -> SparseAttention.calibrate(language, cuda().build(), tokens, 0.5, output, ProgressListener.none()));
        assertTrue(SparseAttention.calibrate(language, LoadOptions.DEFAULT, tokens, 0.5, output, ProgressListener.none()).slices() > 0);
    }

    /** One layer with a head of 272 elements. */
    private void wideHeads() throws Exception {
        Files.writeString(directory.resolve("config.json"), """
                {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "tie_word_embeddings": true,
                "max_position_embeddings": 128, "vocab_size": 64, "hidden_size": 32, "head_dim": 272, "intermediate_size": 32,
                "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "rope_theta": 10000.0}
                """);
        StringBuilder header = new StringBuilder("{");
        int at = 0;
        List<QwenTensors.Expected> all = QwenTensors.separate(new QwenConfig(
                "qwen2", 1, 32, 1, 1, 272, 32, 64, true, 1e-6f, 128, new QwenConfig.Rope(10000, null))).toList();
        for (QwenTensors.Expected tensor : all) {
            int end = at + (int) (4 * tensor.rows() * tensor.columns());
            header.append(at == 0 ? "" : ",").append('"').append(tensor.name()).append("\":{\"dtype\":\"F32\",\"shape\":")
                    .append(Arrays.toString(tensor.shape())).append(",\"data_offsets\":[").append(at).append(',').append(end).append("]}");
            at = end;
        }
        byte[] text = header.append('}').toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer file = ByteBuffer.allocate(8 + text.length + at).order(ByteOrder.LITTLE_ENDIAN).putLong(text.length).put(text);
        for (int i = 0; i < at / 4; i++) {
            file.putFloat((i * 37 % 101 - 50) / 200f);
        }
        Files.write(directory.resolve("model.safetensors"), file.array());
    }

    @Test
    void modelsWithoutKernelsAreRefusedBeforeAnythingIsTaken() throws Exception {
        wideHeads();
        // Not even one allocation.
        EmulatedDevice.failAllocation(1);
        BackendUnavailableException e =
                assertThrows(BackendUnavailableException.class, () -> QwenModel.load(directory, cuda().build()));
        assertTrue(e.getMessage().contains("heads of at most 256"), e.getMessage());
        EmulatedDevice.reset();
        assertTrue(loaded(LoadOptions.DEFAULT).backend().startsWith("cpu"));
    }
}
