package io.qwen4j.natives;

import java.nio.ByteBuffer;
import org.bytedeco.javacpp.annotation.Adapter;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * The functions of {@code api/qwen4j.h}. JavaCPP generates the JNI code from this class at build time; at run time nothing of JavaCPP is used
 * but its annotations. Handles are 64-bit integers, no function throws: see the header for the meaning of results.
 */
@Platform(include = "api/qwen4j.h")
@NoException
final class NativeLibrary {
    private NativeLibrary() {}

    @Name("qw_version")
    static native int version(@Cast("int8_t*") ByteBuffer text, long capacity);

    @Name("qw_last_error")
    static native int lastError(@Cast("int8_t*") ByteBuffer text, long capacity);

    @Name("qw_last_error_bytes")
    static native long lastErrorBytes();

    @Name("qw_best_target")
    static native int bestTarget();

    @Name("qw_live_objects")
    static native long liveObjects();

    @Name("qw_live_mappings")
    static native long liveMappings();

    @Name("qw_fail_mapping")
    static native void failMapping(long k, boolean forEver);

    @Name("qw_backend_create")
    static native long createBackend(int target, int threads, boolean fine);

    @Name("qw_backend_free")
    static native void freeBackend(long backend);

    @Name("qw_segment_bytes")
    static native long segmentBytes(long backend, int type, long rows, long columns);

    @Name("qw_arena_create")
    static native long createArena(long bytes);

    @Name("qw_arena_free")
    static native void freeArena(long arena);

    @Name("qw_weight_create")
    static native long createWeight(long columns);

    @Name("qw_weight_add_segment")
    static native int addSegment(long backend, long weight, int type, long rows, long arena);

    /** Reads {@code bytes} bytes of {@code data} from its position. Several threads may pack different rows at once. */
    @Name("qw_weight_pack")
    static native int packRows(long weight, long segment, long firstRow, long rows, @Cast("int8_t*") ByteBuffer data, long bytes);

    @Name("qw_weight_free")
    static native void freeWeight(long weight);

    @Name("qw_buffer_create")
    static native long createBuffer(long rows, long columns);

    @Name("qw_buffer_view")
    static native @Adapter("QwViewAdapter") ByteBuffer viewBuffer(long buffer);

    @Name("qw_buffer_discard")
    static native void discardBuffer(long buffer);

    @Name("qw_buffer_free")
    static native void freeBuffer(long buffer);

    @Name("qw_kv_create")
    static native long createKvCache(int type, long layers, long pages, long pageTokens, long kvHeads, long headSize);

    @Name("qw_kv_free")
    static native void freeKvCache(long cache);

    @Name("qw_embed")
    static native int embed(long backend, long table, long batch, long x);

    @Name("qw_rms_norm")
    static native int rmsNorm(long backend, long x, long rows, long gain, float epsilon, long y);

    @Name("qw_linear")
    static native int linear(long backend, long x, long rows, long weight, long bias, boolean add, long y);

    @Name("qw_rotate_and_store")
    static native int rotateAndStore(
            long backend, long qkv, long bias, long rotations, long batch, long heads, long kvHeads, long headSize, long chunkLength,
            long cache, long layer);

    @Name("qw_choose_keys")
    static native int chooseKeys(
            long backend, long qkv, long rotations, long batch, long heads, long kvHeads, long headSize, float scale, long chunkLength,
            long cache, long layer, long choice);

    @Name("qw_attention")
    static native int attention(
            long backend, long qkv, long rotations, long batch, long heads, long kvHeads, long headSize, float scale, long chunkLength,
            long cache, long layer, long choice, long out, long logSumExp);

    @Name("qw_route")
    static native int route(long backend, long scores, long rows, long routing);

    @Name("qw_expert_linear")
    static native int expertLinear(long backend, long x, long routing, long weight, long y);

    @Name("qw_expert_linear_add")
    static native int expertLinearAdd(long backend, long x, long routing, long weight, long y);

    @Name("qw_sigmoid_gate")
    static native int sigmoidGate(long backend, long x, long rows, long gate);

    @Name("qw_swiglu")
    static native int swiGlu(long backend, long x, long rows, long out);

    @Name("qw_relu")
    static native int relu(long backend, long x, long rows);

    @Name("qw_gather_outputs")
    static native int gatherOutputs(long backend, long x, long batch, long out);
}
