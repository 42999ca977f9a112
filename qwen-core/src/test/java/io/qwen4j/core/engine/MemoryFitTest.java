package io.qwen4j.core.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.qwen4j.InsufficientMemoryException;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.WeightType;
import io.qwen4j.core.format.Checkpoint;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.ops.JavaOps;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.testing.MemoryCheckpoint;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What is given up, in which order, where the memory of a device is short. */
class MemoryFitTest {
    private static final QwenConfig CONFIG =
            new QwenConfig("qwen2", 2, 64, 4, 2, 16, 96, 96, true, 1e-6f, 131_072, new QwenConfig.Rope(10000, null));

    private final Ops host = new JavaOps(new OpsOptions(1, null));
    private final Checkpoint checkpoint = MemoryCheckpoint.random(CONFIG, WeightType.F32, 1);

    /** The same with a memory of its own. */
    private final Ops device = (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (p, method, arguments) -> {
        try {
            return method.getName().equals("hostMemory") ? false : method.invoke(host, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    });

    @AfterEach
    void close() {
        checkpoint.close();
        host.close();
    }

    private MemoryFit fit(Ops ops, LoadOptions options) {
        return new MemoryFit(checkpoint, LongContext.of(CONFIG, checkpoint.path(), options), ops, options, null);
    }

    private long bytes(int context, int slice, KvCacheType type) {
        LoadOptions exact = LoadOptions.builder().contextLength(context).prefillSlice(slice).kvCache(type).build();
        MemoryFit fit = fit(device, exact);
        return fit.needs(fit.plan(Long.MAX_VALUE), -1).totalBytes();
    }

    private static String words(ContextPlan plan) {
        return plan.contextLength() + " " + plan.prefillSlice(LoadOptions.DEFAULT) + " " + plan.layout().type();
    }

    @Test
    void contextThenSlicesThenHalfPrecision() {
        MemoryFit fit = fit(device, LoadOptions.DEFAULT);
        assertEquals("32768 512 F16", words(fit.plan(bytes(32_768, 512, KvCacheType.F16))));
        assertEquals("32736 512 F16", words(fit.plan(bytes(32_768, 512, KvCacheType.F16) - 1)));
        for (int slice : new int[] {512, 256, 128, 64}) {
            assertEquals("2048 " + slice + " F16", words(fit.plan(bytes(2048, slice, KvCacheType.F16))));
        }
        assertEquals(KvCacheType.INT8, fit.plan(bytes(2048, 64, KvCacheType.F16) - 1).layout().type());
        assertEquals("2048 64 INT8", words(fit.plan(bytes(2048, 64, KvCacheType.INT8))));
        assertThrows(InsufficientMemoryException.class, () -> fit.plan(bytes(2048, 64, KvCacheType.INT8) - 1));
    }

    /** Every plan fits, and nothing is given up while something before it could still be. */
    @Test
    void nothingIsGivenUpInVain() {
        MemoryFit fit = fit(device, LoadOptions.DEFAULT);
        long least = bytes(2048, 64, KvCacheType.INT8);
        long most = bytes(32_768, 512, KvCacheType.F16);
        List<String> seen = new ArrayList<>();
        for (int i = 0; i <= 400; i++) {
            long room = most - (most - least) * i / 400;
            ContextPlan plan = fit.plan(room);
            int slice = plan.prefillSlice(LoadOptions.DEFAULT);
            assertTrue(fit.needs(plan, room).totalBytes() <= room, words(plan));
            assertTrue(plan.contextLength() >= 2048);
            if (slice < 512) {
                assertTrue(bytes(2048, 2 * slice, plan.layout().type()) > room, words(plan) + " though more fits");
            }
            if (plan.layout().type() == KvCacheType.INT8) {
                assertTrue(bytes(2048, 64, KvCacheType.F16) > room, words(plan) + " though halves fit");
            }
            if (plan.contextLength() < 32_768) {
                assertTrue(bytes(plan.contextLength() + 32, slice, plan.layout().type()) > room, words(plan) + " though a longer one fits");
            }
            String kind = slice + " " + plan.layout().type();
            if (!seen.contains(kind)) {
                seen.add(kind);
            }
        }
        assertEquals(List.of("512 F16", "256 F16", "128 F16", "64 F16"), seen.subList(0, 4));
        assertEquals("64 INT8", seen.get(seen.size() - 1));
    }

    @Test
    void theHostGivesUpContextAlone() {
        MemoryFit fit = fit(host, LoadOptions.DEFAULT);
        long exactly = bytes(2048, 512, KvCacheType.F16);
        assertEquals("2048 512 F16", words(fit.plan(exactly)));
        InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> fit.plan(exactly - 1));
        assertEquals(exactly, e.requiredBytes());
        assertTrue(e.getMessage().contains("-Xmx"), e.getMessage());
    }

    @Test
    void whatWasAskedForIsNamedWithWhatWouldFit() {
        long room = bytes(4096, 512, KvCacheType.F16);
        for (LoadOptions.Builder asked : List.of(
                LoadOptions.builder().contextLength(4097),
                LoadOptions.builder().cacheTokens(5000),
                LoadOptions.builder().prefillSlice(4096),
                LoadOptions.builder().contextLength(4096).kvCache(KvCacheType.F32))) {
            LoadOptions options = asked.kvCache(asked.build().kvCache() == null ? KvCacheType.F16 : KvCacheType.F32).build();
            LoadOptions whole = options.prefillSlice() > 0 ? options : asked.prefillSlice(512).build();
            InsufficientMemoryException e = assertThrows(InsufficientMemoryException.class, () -> fit(device, whole).plan(room));
            assertTrue(e.getMessage().contains("asked for: "), e.getMessage());
            assertTrue(e.getMessage().contains("what would fit is a context of 4096 tokens, prefill slices of 512 and a cache of F16"),
                    e.getMessage());
        }
    }
}
