package io.qwen4j.natives;

import io.qwen4j.core.ops.KvCache;
import io.qwen4j.core.ops.KvLayout;

/** Pages of keys and values; addresses are reserved at once, memory is committed as tokens are written. */
final class NativeKvCache extends NativeResource implements KvCache {
    private final KvLayout layout;

    NativeKvCache(KvLayout layout) {
        super(NativeException.checkValue(
                NativeLibrary.createKvCache(
                        layout.type().ordinal(), layout.layers(), layout.pages(), layout.pageTokens(), layout.kvHeads(), layout.headSize()),
                "a KV cache of shape " + layout));
        this.layout = layout;
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
        NativeLibrary.freeKvCache(handle);
    }
}
