package io.qwen4j.natives;

import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;

/** Pages of keys and values on a device, all of them taken at once. */
final class CudaKvCache extends NativeResource implements KvCache {
    private final KvLayout layout;

    CudaKvCache(CudaBackend backend, KvLayout layout) {
        super(create(backend, layout));
        this.layout = layout;
    }

    private static long create(CudaBackend backend, KvLayout layout) {
        long owner = backend.acquire();
        try {
            return CudaException.checkValue(
                    CudaLibrary.createKvCache(
                            owner, layout.type().ordinal(), layout.layers(), layout.pages(), layout.pageTokens(), layout.kvHeads(),
                            layout.headSize()),
                    "a KV cache of shape " + layout);
        } finally {
            backend.release();
        }
    }

    /** Bytes of such a cache; throws {@link io.qwen4j.BackendUnavailableException} if there are no kernels for its shape. */
    static long bytes(KvLayout layout) {
        return CudaException.checkValue(
                CudaLibrary.kvCacheBytes(
                        layout.type().ordinal(), layout.layers(), layout.pages(), layout.pageTokens(), layout.kvHeads(),
                        layout.headSize()),
                "a KV cache of shape " + layout);
    }

    @Override
    public KvLayout layout() {
        return layout;
    }

    @Override
    String what() {
        return "the KV cache";
    }

    @Override
    void free(long handle) {
        CudaLibrary.freeKvCache(handle);
    }
}
