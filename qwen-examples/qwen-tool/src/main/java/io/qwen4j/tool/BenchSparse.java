package io.qwen4j.tool;

import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFiles;
import io.qwen4j.SparseAttention;
import io.qwen4j.SparseMeasurement;
import io.qwen4j.SparsePrefill;
import io.qwen4j.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;

/** What sparse prefill loses and gains, at several lengths. */
final class BenchSparse {
    private static final String LENGTHS = "16K,32K,64K";
    private static final int KILO = 1024;
    /** In Hugging Face directories and in GGUF files. */
    private static final Set<String> EMBEDDINGS = Set.of("model.embed_tokens.weight", "token_embd.weight");

    private BenchSparse() {}

    static void run(Arguments arguments, Streams streams) throws IOException {
        String given = arguments.text("--prompt-tokens");
        List<Integer> lengths = lengths(given == null ? LENGTHS : given);
        boolean followSparse = follow(arguments);
        LoadOptions.Builder options = CommonFlags.loadOptions(arguments);
        if (!arguments.has("--sparse-prefill")) {
            options.sparsePrefill(SparsePrefill.PUBLISHED);
        }
        Path model = CommonFlags.model(arguments);
        int longest = lengths.stream().mapToInt(Integer::intValue).max().orElseThrow();
        int[] tokens = arguments.has("--file")
                ? textTokens(model, arguments.requiredText("--file"), longest, streams)
                : randomTokens(model, longest);
        List<SparseMeasurement> measured;
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            measured = SparseAttention.measure(model, options.progress(bar).build(), tokens, lengths, followSparse, bar);
        }
        streams.out().print(arguments.has("--json") ? json(measured, followSparse) + "\n" : table(measured));
    }

    /** Numbers of tokens, where K is 1024. */
    static List<Integer> lengths(String text) {
        List<Integer> lengths = new ArrayList<>();
        for (String part : text.split(",", -1)) {
            String word = part.strip().toUpperCase(Locale.ROOT);
            boolean kilo = word.endsWith("K");
            try {
                int number = Math.multiplyExact(
                        Integer.parseInt(kilo ? word.substring(0, word.length() - 1) : word), kilo ? KILO : 1);
                if (number < 1) {
                    throw new NumberFormatException();
                }
                lengths.add(number);
            } catch (NumberFormatException | ArithmeticException e) {
                throw Arguments.wrong("--prompt-tokens", "numbers of tokens such as 512,16K,64K with --sparse", text);
            }
        }
        return lengths;
    }

    private static boolean follow(Arguments arguments) {
        String value = arguments.text("--follow");
        if (value != null && !value.equals("sparse") && !value.equals("dense")) {
            throw Arguments.wrong("--follow", "dense or sparse", value);
        }
        return "sparse".equals(value);
    }

    private static int[] textTokens(Path model, String name, int needed, Streams streams) throws IOException {
        int[] tokens = Tokenizer.load(model).encode(TextFile.read(name, streams));
        if (tokens.length < needed) {
            throw new ToolException(name + ": " + needed + " tokens are needed for these measurements, the text has " + tokens.length);
        }
        return tokens;
    }

    private static int[] randomTokens(Path model, int count) {
        long rows = ModelFiles.inspect(model).tensors().stream()
                .filter(tensor -> EMBEDDINGS.contains(tensor.name()))
                .mapToLong(tensor -> tensor.shape().get(0))
                .findFirst()
                .orElseThrow(() -> new ToolException(model + ": there is no tensor of the names " + EMBEDDINGS));
        return new SplittableRandom(count).ints(count, 0, (int) rows).toArray();
    }

    private static String table(List<SparseMeasurement> measured) {
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "%47s %38s %30s%n", "", "seconds of attention", "of the prefill"))
                .append(String.format(
                        Locale.ROOT, "%8s %9s %9s %9s %8s %10s %9s %9s %7s %11s %10s %7s%n", "tokens", "recall", "worst", "last", "keys",
                        "dense", "sparse", "choosing", "faster", "dense", "sparse", "faster"));
        for (SparseMeasurement m : measured) {
            double dense = m.otherSeconds() + m.denseSeconds();
            double sparse = m.otherSeconds() + m.sparseSeconds();
            text.append(String.format(
                    Locale.ROOT, "%8d %9.4f %9.4f %9.4f %6.1f %% %10.2f %9.2f %9.2f %6.2fx %11.2f %10.2f %6.2fx%n", m.tokens(),
                    m.meanRecall(), m.worstRecall(), m.lastRecall(), 100 * m.keys(), m.denseSeconds(), m.sparseSeconds(),
                    m.choosingSeconds(), m.speedup(), dense, sparse, m.prefillSpeedup()));
        }
        return text.toString().replace("\r\n", "\n");
    }

    private static String json(List<SparseMeasurement> measured, boolean followSparse) throws IOException {
        return Json.write(json -> {
            json.writeStartObject();
            json.writeStringField("follow", followSparse ? "sparse" : "dense");
            json.writeArrayFieldStart("lengths");
            for (SparseMeasurement m : measured) {
                json.writeStartObject();
                json.writeNumberField("tokens", m.tokens());
                json.writeNumberField("mean_recall", m.meanRecall());
                json.writeNumberField("worst_recall", m.worstRecall());
                json.writeNumberField("worst_layer", m.worstLayer());
                json.writeNumberField("worst_head", m.worstHead());
                json.writeNumberField("last_slice_recall", m.lastRecall());
                json.writeNumberField("keys", m.keys());
                json.writeNumberField("dense_attention_seconds", m.denseSeconds());
                json.writeNumberField("sparse_attention_seconds", m.sparseSeconds());
                json.writeNumberField("choosing_seconds", m.choosingSeconds());
                json.writeNumberField("other_seconds", m.otherSeconds());
                json.writeNumberField("attention_speedup", m.speedup());
                json.writeNumberField("prefill_speedup", m.prefillSpeedup());
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        });
    }
}
