package io.qwen4j.natives;

import java.nio.ByteBuffer;
import org.bytedeco.javacpp.annotation.Adapter;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;
import org.jspecify.annotations.Nullable;

/** The functions of {@code api/qwen4j_cuda.h}, bound as those of {@link NativeLibrary} are. */
@Platform(include = "api/qwen4j_cuda.h")
@NoException
final class CudaLibrary {
    private CudaLibrary() {}

    @Name("qwc_version")
    static native int version(@Cast("int8_t*") ByteBuffer text, long capacity);

    @Name("qwc_last_error")
    static native int lastError(@Cast("int8_t*") ByteBuffer text, long capacity);

    @Name("qwc_last_error_bytes")
    static native long lastErrorBytes();

    @Name("qwc_last_error_available")
    static native long lastErrorAvailable();

    @Name("qwc_live_objects")
    static native long liveObjects();

    @Name("qwc_live_mappings")
    static native long liveMappings();

    @Name("qwc_emulate_devices")
    static native int emulateDevices(int devices, int capability, long bytes);

    @Name("qwc_emulate_failure")
    static native int emulateFailure(long k, int status);

    @Name("qwc_emulated_bytes")
    static native long emulatedBytes();

    @Name("qwc_emulated_faults")
    static native long emulatedFaults();

    @Name("qwc_device_count")
    static native long deviceCount();

    @Name("qwc_device_name")
    static native int deviceName(int device, @Cast("int8_t*") ByteBuffer text, long capacity);

    @Name("qwc_device_capability")
    static native int deviceCapability(int device);

    @Name("qwc_device_free_bytes")
    static native long deviceFreeBytes(int device);

    @Name("qwc_device_total_bytes")
    static native long deviceTotalBytes(int device);

    @Name("qwc_backend_create")
    static native long createBackend(int device, boolean fine);

    @Name("qwc_backend_free")
    static native void freeBackend(long backend);

    @Name("qwc_backend_wait")
    static native int await(long backend);

    @Name("qwc_scratch_bytes")
    static native long scratchBytes(
            long backend, long activationBytes, int type, long pages, long pageTokens, long kvHeads, long headSize, boolean sparse);

    @Name("qwc_emulated_allocations")
    static native long emulatedAllocations();

    @Name("qwc_step_begin")
    static native long beginStep(
            long backend, long walk, long batch, long heads, long kvHeads, long headSize, long chunkLength, long cache);

    @Name("qwc_step_end")
    static native long endStep(long backend);

    @Name("qwc_step_abandon")
    static native int abandonStep(long backend);

    @Name("qwc_step_refuse")
    static native int refuseStep(long backend);

    @Name("qwc_recorded_steps")
    static native long recordedSteps(long backend);

    @Name("qwc_replayed_steps")
    static native long replayedSteps(long backend);

    @Name("qwc_segment_bytes")
    static native long segmentBytes(int type, long rows, long columns);

    @Name("qwc_arena_create")
    static native long createArena(long backend, long bytes);

    @Name("qwc_arena_free")
    static native void freeArena(long arena);

    @Name("qwc_weight_create")
    static native long createWeight(long columns);

    @Name("qwc_weight_add_segment")
    static native int addSegment(long weight, int type, long rows, int @Nullable [] order, long arena);

    @Name("qwc_weight_pack")
    static native int packRows(long weight, long segment, long firstRow, long rows, long staging, long bytes);

    @Name("qwc_weight_free")
    static native void freeWeight(long weight);

    @Name("qwc_staging_create")
    static native long createStaging(long backend, long bytes);

    @Name("qwc_staging_view")
    static native @Adapter("QwcViewAdapter") ByteBuffer viewStaging(long staging);

    @Name("qwc_staging_wait")
    static native int awaitStaging(long staging);

    @Name("qwc_staging_free")
    static native void freeStaging(long staging);

    @Name("qwc_buffer_create")
    static native long createBuffer(long backend, long rows, long columns, boolean hostOnly);

    @Name("qwc_buffer_view")
    static native @Adapter("QwcViewAdapter") ByteBuffer viewBuffer(long buffer);

    @Name("qwc_buffer_look")
    static native int lookAt(long buffer);

    @Name("qwc_buffer_discard")
    static native void discardBuffer(long buffer);

    @Name("qwc_buffer_free")
    static native void freeBuffer(long buffer);

    @Name("qwc_kv_create")
    static native long createKvCache(
            long backend, int type, long layers, long pages, long pageTokens, long kvHeads, long headSize);

    @Name("qwc_kv_bytes")
    static native long kvCacheBytes(int type, long layers, long pages, long pageTokens, long kvHeads, long headSize);

    @Name("qwc_kv_free")
    static native void freeKvCache(long cache);

    @Name("qwc_embed")
    static native int embed(long backend, long table, long batch, long x);

    @Name("qwc_rms_norm")
    static native int rmsNorm(long backend, long x, long rows, long gain, float epsilon, long y);

    @Name("qwc_linear")
    static native int linear(long backend, long x, long rows, long weight, long bias, boolean add, long y);

    @Name("qwc_rotate_and_store")
    static native int rotateAndStore(
            long backend, long qkv, long bias, long rotations, long batch, long heads, long kvHeads, long headSize, long chunkLength,
            long cache, long layer);

    @Name("qwc_choose_keys")
    static native int chooseKeys(
            long backend, long qkv, long rotations, long batch, long heads, long kvHeads, long headSize, float scale, long chunkLength,
            long cache, long layer, long choice);

    @Name("qwc_attention")
    static native int attention(
            long backend, long qkv, long rotations, long batch, long heads, long kvHeads, long headSize, float scale, long chunkLength,
            long cache, long layer, long choice, long out, long logSumExp);

    @Name("qwc_route")
    static native int route(long backend, long scores, long rows, long routing);

    @Name("qwc_expert_linear")
    static native int expertLinear(long backend, long x, long routing, long weight, long y);

    @Name("qwc_expert_linear_add")
    static native int expertLinearAdd(long backend, long x, long routing, long weight, long y);

    @Name("qwc_sigmoid_gate")
    static native int sigmoidGate(long backend, long x, long rows, long gate);

    @Name("qwc_swiglu")
    static native int swiGlu(long backend, long x, long rows, long out);

    @Name("qwc_relu")
    static native int relu(long backend, long x, long rows);

    @Name("qwc_gather_outputs")
    static native int gatherOutputs(long backend, long x, long batch, long out);

    @Name("qwc_select_logits")
    static native int selectLogits(long backend, long logits, long selection, long found);
}
