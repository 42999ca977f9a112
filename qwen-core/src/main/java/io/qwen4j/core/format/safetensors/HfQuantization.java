package io.qwen4j.core.format.safetensors;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.core.format.ConfigChecks;
import io.qwen4j.core.format.JsonObject;
import io.qwen4j.core.format.ModelDirectory;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How weights were quantized: {@code quantization_config} in config.json, or the files that older tools wrote beside it,
 * quantize_config.json (AutoGPTQ) and quant_config.json (AutoAWQ).
 *
 * @param method what quantized them
 * @param bits of a code, 4 or 8
 * @param groupSize columns that share scale and zero point, a multiple of 32; 0 where a row is one group
 * @param actOrder whether columns belong to groups in the order of their activations (desc_act)
 * @param zeroOffset what is added to a zero point as it is stored: 1 in the first layout of GPTQ, else 0
 * @param notConverted names of modules that were left as they were
 */
record HfQuantization(Method method, int bits, int groupSize, boolean actOrder, int zeroOffset, List<String> notConverted) {
    private static final String KEY = "quantization_config";
    private static final String METHOD = "quant_method";
    /** Files beside config.json, and the method of those that do not name it. */
    private static final List<Map.Entry<String, String>> OTHER_FILES =
            List.of(Map.entry("quantize_config.json", "gptq"), Map.entry("quant_config.json", "awq"));

    private static final int GROUP_UNIT = 32;

    /** What quantized the weights. */
    enum Method {
        /** Frantar et al., 2210.17323; as AutoGPTQ and GPTQModel write it. */
        GPTQ,
        /** Lin et al., 2306.00978; as AutoAWQ writes it, version gemm. */
        AWQ
    }

    /** What config.json says, or null. */
    static @Nullable HfQuantization ofConfig(JsonObject config) {
        if (!config.has(KEY)) {
            return null;
        }
        JsonObject json = config.object(KEY);
        return read(json, json.string(METHOD, "(unnamed)"));
    }

    /** What a file beside config.json says, or null. */
    static @Nullable HfQuantization ofOtherFiles(ModelDirectory directory) {
        for (Map.Entry<String, String> other : OTHER_FILES) {
            if (directory.has(other.getKey())) {
                JsonObject json = JsonObject.read(directory.file(other.getKey()), HfConfig.MAX_BYTES);
                return read(json, json.string(METHOD, other.getValue()));
            }
        }
        return null;
    }

    private static HfQuantization read(JsonObject json, String method) {
        return switch (method.toLowerCase(Locale.ROOT)) {
            case "gptq" -> gptq(json);
            case "awq" -> awq(json);
            default -> throw json.error(
                    Reason.UNSUPPORTED,
                    "weights quantized with " + method
                            + " are not supported by this version; gptq, awq, BF16, F16, F32 and GGUF files are");
        };
    }

    private static HfQuantization gptq(JsonObject json) {
        String format = json.string("checkpoint_format", json.string("format", "gptq"));
        if (!format.equals("gptq") && !format.equals("gptq_v2")) {
            throw json.error(Reason.UNSUPPORTED, "checkpoint_format " + format + " of gptq is not supported, gptq and gptq_v2 are");
        }
        if (json.bool("is_marlin_format", false)) {
            throw json.error(Reason.UNSUPPORTED, "is_marlin_format true is not supported");
        }
        String words = json.string("pack_dtype", "int32");
        if (!words.equals("int32")) {
            throw json.error(Reason.UNSUPPORTED, "pack_dtype " + words + " is not supported, int32 is");
        }
        if (json.has("dynamic") && !json.object("dynamic").fields().isEmpty()) {
            throw json.error(Reason.UNSUPPORTED, "dynamic, with settings for single modules, is not supported");
        }
        json.bool("sym", true); // zero points are stored and read in either case
        long bits = json.integer("bits");
        if (bits != 4 && bits != 8) {
            throw json.error(Reason.UNSUPPORTED, "gptq with bits " + bits + " is not supported, 4 and 8 are");
        }
        return new HfQuantization(
                Method.GPTQ,
                (int) bits,
                groupSize(json, "group_size"),
                json.bool("desc_act", false),
                format.equals("gptq") ? 1 : 0,
                notConverted(json));
    }

    private static HfQuantization awq(JsonObject json) {
        String version = json.string("version", "gemm");
        if (!version.equalsIgnoreCase("gemm")) {
            throw json.error(Reason.UNSUPPORTED, "version " + version + " of awq is not supported, gemm is");
        }
        if (!json.bool("zero_point", true)) {
            throw json.error(Reason.UNSUPPORTED, "zero_point false of awq is not supported, true is");
        }
        String key = json.has("bits") ? "bits" : "w_bit";
        long bits = json.integer(key);
        if (bits != 4) {
            throw json.error(Reason.UNSUPPORTED, "awq with " + key + " " + bits + " is not supported, 4 is");
        }
        int groupSize = groupSize(json, json.has("group_size") ? "group_size" : "q_group_size");
        return new HfQuantization(Method.AWQ, 4, groupSize, false, 0, notConverted(json));
    }

    private static int groupSize(JsonObject json, String key) {
        long size = json.integer(key);
        if (size == -1) {
            return 0;
        }
        if (size < GROUP_UNIT || size > ConfigChecks.MAX_WIDTH || size % GROUP_UNIT != 0) {
            throw json.error(
                    Reason.UNSUPPORTED,
                    key + " " + size + " is not supported; multiples of " + GROUP_UNIT + " are, and -1, which makes a row one group");
        }
        return (int) size;
    }

    private static List<String> notConverted(JsonObject json) {
        String key = "modules_to_not_convert";
        if (!json.has(key)) {
            return List.of();
        }
        List<?> names = json.list(key);
        for (Object name : names) {
            if (!(name instanceof String)) {
                throw json.error(Reason.UNSUPPORTED, key + " must have names, found " + name);
            }
        }
        return names.stream().map(String.class::cast).toList();
    }

    /** Whether the configuration says that a module was left as it was. */
    boolean keeps(String module) {
        return notConverted.stream().anyMatch(n -> module.equals(n) || module.endsWith("." + n) || module.startsWith(n + "."));
    }

    /** Codes in a 32-bit word. */
    int codesPerWord() {
        return 32 / bits;
    }

    /** For people. */
    String description() {
        return method + ", " + bits + " bits, " + (groupSize == 0 ? "a row is one group" : "groups of " + groupSize)
                + (actOrder ? ", act order" : "");
    }
}
