package com.github.tjake.jlama.model;

import com.github.tjake.jlama.safetensors.DType;
import com.github.tjake.jlama.safetensors.SafeTensorSupport;
import com.github.tjake.jlama.tensor.AbstractTensor;
import com.github.tjake.jlama.tensor.KvBufferCache;
import com.github.tjake.jlama.util.PhysicalCoreExecutor;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Times jlama on a directory in its own 4-bit type; one JSON object on standard output. It stands in jlama's package, where a forward
 * pass of token ids can be called.
 *
 * <p>Usage: {@code Jlama DIRECTORY --prompt-tokens P --generate-tokens G --depth D --threads T}, or
 * {@code Jlama DIRECTORY --quantize TARGET}.
 */
public final class Jlama {
    private final AbstractModel model;
    private final KvBufferCache cache;

    private Jlama(AbstractModel model) {
        this.model = model;
        this.cache = new KvBufferCache(model);
    }

    private static int[] ids(int count, int from) {
        int[] ids = new int[count];
        for (int i = 0; i < count; i++) {
            ids[i] = 100 + (from + i) * 7919 % 3000;
        }
        return ids;
    }

    /** Tokens a second of P tokens after D. */
    private double prefill(int depth, int tokens) {
        try (KvBufferCache.KvBuffer kv = cache.getEphemeralKvBuffer()) {
            if (depth > 0) {
                model.batchForward(ids(depth, 0), 0, kv).close();
            }
            long start = System.nanoTime();
            model.batchForward(ids(tokens, depth), depth, kv).close();
            return tokens / ((System.nanoTime() - start) / 1e9);
        }
    }

    /** Tokens a second of G tokens after D. */
    private double decode(int depth, int tokens) {
        int context = Math.max(1, depth);
        try (KvBufferCache.KvBuffer kv = cache.getEphemeralKvBuffer();
                AbstractTensor logits = model.makeDenseTensor(model.getConfig().vocabularySize)) {
            model.batchForward(ids(context, 0), 0, kv).close();
            int token = 100;
            long start = System.nanoTime();
            for (int i = 0; i < tokens; i++) {
                try (AbstractTensor hidden = model.forward(token, context + i, kv)) {
                    token = model.sample(hidden, 0, 0.5f, logits);
                }
            }
            return tokens / ((System.nanoTime() - start) / 1e9);
        }
    }

    private static long peakBytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmHWM:"))
                .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElse(-1);
    }

    public static void main(String[] args) throws IOException {
        if (args[1].equals("--quantize")) {
            SafeTensorSupport.quantizeModel(Path.of(args[0]), DType.Q4, new String[0], new String[0], Optional.of(Path.of(args[2])));
            return;
        }
        Map<String, Integer> options = new HashMap<>();
        for (int i = 1; i + 1 < args.length; i += 2) {
            options.put(args[i], Integer.parseInt(args[i + 1]));
        }
        int prompt = options.get("--prompt-tokens");
        int generate = options.get("--generate-tokens");
        int depth = options.get("--depth");
        PhysicalCoreExecutor.overrideThreadCount(options.get("--threads"));
        long start = System.nanoTime();
        Jlama bench = new Jlama(ModelSupport.loadModel(new File(args[0]), DType.F32, DType.I8));
        double load = (System.nanoTime() - start) / 1e9;
        double[] prefill = new double[3];
        double[] decode = new double[3];
        // The compiler of the JVM needs a few rounds; the last one counts.
        for (int i = 0; i < 3; i++) {
            decode[i] = generate > 0 ? bench.decode(depth, generate) : Double.NaN;
            prefill[i] = prompt > 0 ? bench.prefill(depth, prompt) : Double.NaN;
        }
        System.err.println("prefill " + Arrays.toString(prefill) + ", decode " + Arrays.toString(decode));
        System.out.println(String.format(
                Locale.ROOT,
                "{\"load_seconds\": %.4f, \"prefill_tokens_per_second\": %s, \"decode_tokens_per_second\": %s, \"peak_rss_bytes\": %d}",
                load,
                prompt > 0 ? prefill[2] : "null",
                generate > 0 ? decode[2] : "null",
                peakBytes()));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
