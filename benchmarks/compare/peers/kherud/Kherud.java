import de.kherud.llama.InferenceParameters;
import de.kherud.llama.LlamaModel;
import de.kherud.llama.LlamaOutput;
import de.kherud.llama.ModelParameters;
import de.kherud.llama.args.LogFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Times de.kherud:llama. One JSON object on standard output; with --first-token 1 the first text and nothing else.
 *
 * <p>Usage: {@code Kherud MODEL.gguf --prompt-tokens P --generate-tokens G --depth D --threads T [--first-token 1]}.
 *
 * <p>The library takes text only. A prompt of words that are one token each has the length that is asked for; the cache of the prompt keeps
 * the D tokens before the measured ones. Texts reach the reader when their characters are complete, so times are taken of whole answers,
 * whose number of tokens is known.
 */
public final class Kherud {
    private final LlamaModel model;
    private final String word;

    private Kherud(LlamaModel model) {
        this.model = model;
        this.word = Arrays.stream(new String[] {" the", " a", "a", "!", "0"})
                .filter(w -> tokens(w.repeat(100)) == 100)
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("no word found that is one token"));
    }

    private int tokens(String text) {
        return model.encode(text).length;
    }

    /** Answers with exactly {@code count} tokens; returns the seconds. */
    private double answer(int promptTokens, int count) {
        InferenceParameters parameters = new InferenceParameters(word.repeat(promptTokens))
                .setNPredict(count)
                .setTemperature(0)
                .setIgnoreEos(true)
                .setCachePrompt(true);
        long start = System.nanoTime();
        model.complete(parameters);
        return (System.nanoTime() - start) / 1e9;
    }

    private static long peakBytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmHWM:"))
                .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElse(-1);
    }

    public static void main(String[] args) throws IOException {
        Map<String, Integer> options = new HashMap<>(Map.of("--prompt-tokens", 512, "--generate-tokens", 64, "--depth", 0, "--threads", 2));
        for (int i = 1; i + 1 < args.length; i += 2) {
            options.put(args[i], Integer.parseInt(args[i + 1]));
        }
        int prompt = options.get("--prompt-tokens");
        int generate = options.get("--generate-tokens");
        int depth = Math.max(1, options.get("--depth"));
        int threads = options.get("--threads");

        LlamaModel.setLogger(LogFormat.TEXT, (level, message) -> {});
        long start = System.nanoTime();
        LlamaModel model = new LlamaModel(new ModelParameters()
                .setModel(args[0])
                .setThreads(threads)
                .setThreadsBatch(threads)
                .setGpuLayers(0)
                .setCtxSize(depth + prompt + generate + 32));
        double load = (System.nanoTime() - start) / 1e9;
        if (options.containsKey("--first-token")) {
            InferenceParameters parameters =
                    new InferenceParameters(" the".repeat(Math.max(1, prompt))).setTemperature(0).setIgnoreEos(true);
            for (LlamaOutput output : model.generate(parameters)) {
                if (!output.text.isEmpty()) {
                    System.out.print(output.text);
                    System.out.flush();
                    Runtime.getRuntime().halt(0);
                }
            }
        }
        Kherud bench = new Kherud(model);
        double decode = 0;
        double prefill = 0;
        for (int i = 0; i < 2; i++) {
            // The second request finds all but the last token of its prompt in the cache.
            bench.answer(depth, 1);
            if (generate > 0) {
                decode = (generate + 1) / bench.answer(depth, generate + 1);
            }
            if (prompt > 0) {
                bench.answer(depth, 1);
                prefill = prompt / bench.answer(depth + prompt, 1);
            }
        }
        System.out.println(String.format(
                Locale.ROOT,
                "{\"load_seconds\": %.4f, \"prefill_tokens_per_second\": %s, \"decode_tokens_per_second\": %s, \"peak_rss_bytes\": %d}",
                load,
                prompt > 0 ? prefill : "null",
                generate > 0 ? decode : "null",
                peakBytes()));
        System.out.flush();
        // Its threads outlive the model that is closed.
        Runtime.getRuntime().halt(0);
    }
}
