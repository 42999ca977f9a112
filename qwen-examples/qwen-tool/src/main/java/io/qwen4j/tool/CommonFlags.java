package io.qwen4j.tool;

import io.qwen4j.ActivationPrecision;
import io.qwen4j.Device;
import io.qwen4j.InstructionSet;
import io.qwen4j.KvCacheType;
import io.qwen4j.LoadOptions;
import io.qwen4j.QwenModel;
import io.qwen4j.RewardModel;
import io.qwen4j.WeightType;
import io.qwen4j.tinyqwen.TinyQwen;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The options every command takes: which model, and how it is loaded. */
final class CommonFlags {
    static final List<Option> OPTIONS = List.of(
            Option.value("--backend", "auto|java|cpu|cuda", "where to compute (default auto)"),
            Option.value("--isa", "baseline|avx2|avx512|vnni", "highest instruction set of the CPU kernels (default the machine's best)"),
            Option.value("--threads", "N", "compute threads (default one per processor)"),
            Option.value("--context", "N", "longest sequence in tokens, prompt and answer (default the model's, at most 32768)"),
            Option.value("--quantization", "TYPE", "convert weight matrices while loading: Q8_0, Q4_0, Q4_K, …"),
            Option.value("--kv-cache", "f32|f16|bf16|int8", "storage of keys and values (default f16; f32 for logits and perplexity)"),
            Option.value("--activations", "int8|int16", "precision of activations at quantized weights (default int8, int16 with logits)"),
            Option.value("--yarn", "FACTOR", "stretch positions to FACTOR times the training length (default as the files say)"),
            Option.value("--yarn-mode", "static|auto|off", "YaRN in all requests, in those beyond the training length, or in none"),
            Option.value("--yarn-original", "N", "training length in tokens, for YaRN (default as the files say)"),
            Option.value("--dual-chunk", "S,W[,N]|off", "dual chunk attention: distances up to S tokens, W local; scaled from N tokens on"),
            Option.value("--prefill-slice", "N", "most prompt tokens computed in one step, 1 to 4096 (default 512)"),
            Option.value("--sparse-prefill", "auto|FILE|V,S", "prefill long prompts sparsely: budgets of the model, of a file, or V and S"),
            Option.value("--sparse-threshold", "N", "prompts of more tokens than N are long (default 32768)"),
            Option.flag("--verbose", "show log messages, and where an error came from"),
            Option.flag("--help", "show the help of the command"));

    private static final WeightType[] TYPES = Stream.of(WeightType.values()).filter(WeightType::isGguf).toArray(WeightType[]::new);

    private CommonFlags() {}

    /** Checks all values, so that a wrong one is wrong usage with every command. */
    static LoadOptions.Builder loadOptions(Arguments arguments) {
        LoadOptions.Builder options = LoadOptions.builder();
        Device device = arguments.choice("--backend", Device.values());
        if (device != null) {
            options.device(device);
        }
        KvCacheType kvCache = arguments.choice("--kv-cache", KvCacheType.values());
        if (kvCache != null) {
            options.kvCache(kvCache);
        }
        ActivationPrecision activations = arguments.choice("--activations", ActivationPrecision.values());
        if (activations != null) {
            options.activations(activations);
        }
        options.instructionSet(arguments.choice("--isa", InstructionSet.values()));
        options.quantization(weightType(arguments, "--quantization"));
        options.threads(arguments.integer("--threads", 1, 0));
        options.contextLength(arguments.integer("--context", 1, 0));
        options.prefillSlice(arguments.integer("--prefill-slice", 1, LoadOptions.DEFAULT.prefillSlice()));
        options.yarn(LongContextFlags.yarn(arguments));
        options.dualChunk(LongContextFlags.dualChunk(arguments));
        options.sparsePrefill(SparseFlags.of(arguments));
        try {
            options.build();
        } catch (IllegalArgumentException e) {
            throw new UsageException(e.getMessage());
        }
        return options;
    }

    /** A type that a model can be converted to. */
    static @Nullable WeightType weightType(Arguments arguments, String option) {
        return arguments.choice(option, TYPES);
    }

    /** Names of the types that a model can be converted to. */
    static String weightTypes() {
        return Stream.of(TYPES).map(WeightType::name).collect(Collectors.joining(", "));
    }

    /**
     * As {@link #loadOptions}, with keys and values in f32 unless the user chose: for commands that measure the model. Half
     * precision moves logits by about 2e-3 of their standard deviation, f32 by less than 1e-5.
     */
    static LoadOptions.Builder exactCache(Arguments arguments) {
        LoadOptions.Builder options = loadOptions(arguments);
        return arguments.choice("--kv-cache", KvCacheType.values()) == null ? options.kvCache(KvCacheType.F32) : options;
    }

    /** The first operand as a model, or the bundled one if there is none or it is named. */
    static Path model(Arguments arguments) {
        List<String> operands = arguments.operands();
        String name = operands.isEmpty() ? TinyQwen.NAME : operands.get(0);
        Path path;
        try {
            path = Path.of(name);
        } catch (InvalidPathException e) {
            throw new ToolException("'" + name + "' is no file name: " + e.getReason(), e);
        }
        if (Files.exists(path)) {
            return path;
        }
        if (name.equals(TinyQwen.NAME)) {
            return TinyQwen.directory();
        }
        throw new ToolException(name + ": no such model; expected a directory, a GGUF file or " + TinyQwen.NAME);
    }

    /** Loads the model and shows the progress on a terminal. */
    static QwenModel load(Arguments arguments, Streams streams) {
        return load(arguments, streams, loadOptions(arguments));
    }

    /** Loads the reward model and shows the progress on a terminal. */
    static RewardModel loadReward(Arguments arguments, Streams streams) {
        return loadReward(arguments, streams, loadOptions(arguments));
    }

    static RewardModel loadReward(Arguments arguments, Streams streams, LoadOptions.Builder options) {
        Path path = model(arguments);
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            return RewardModel.load(path, options.progress(bar).build());
        }
    }

    static QwenModel load(Arguments arguments, Streams streams, LoadOptions.Builder options) {
        Path path = model(arguments);
        try (ProgressBar bar = new ProgressBar(streams.err())) {
            return QwenModel.load(path, options.progress(bar).build());
        }
    }
}
