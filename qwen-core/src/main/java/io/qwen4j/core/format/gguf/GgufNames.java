package io.qwen4j.core.format.gguf;

import io.qwen4j.core.model.QwenTensors;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Tensor names of GGUF files and of Hugging Face checkpoints. */
public final class GgufNames {
    private static final Map<String, String> GLOBAL = Map.of(
            "token_embd.weight", QwenTensors.EMBEDDING,
            "output_norm.weight", QwenTensors.FINAL_NORM,
            "output.weight", QwenTensors.HEAD);
    private static final Map<String, String> LAYER = Map.ofEntries(
            Map.entry("attn_norm.weight", QwenTensors.ATTENTION_NORM),
            Map.entry("attn_q.weight", QwenTensors.QUERY),
            Map.entry("attn_q.bias", QwenTensors.QUERY_BIAS),
            Map.entry("attn_k.weight", QwenTensors.KEY),
            Map.entry("attn_k.bias", QwenTensors.KEY_BIAS),
            Map.entry("attn_v.weight", QwenTensors.VALUE),
            Map.entry("attn_v.bias", QwenTensors.VALUE_BIAS),
            Map.entry("attn_output.weight", QwenTensors.OUTPUT),
            Map.entry("ffn_norm.weight", QwenTensors.MLP_NORM),
            Map.entry("ffn_gate.weight", QwenTensors.GATE),
            Map.entry("ffn_up.weight", QwenTensors.UP),
            Map.entry("ffn_down.weight", QwenTensors.DOWN),
            Map.entry("ffn_gate_inp.weight", QwenTensors.ROUTER),
            Map.entry("ffn_gate_exps.weight", QwenTensors.EXPERT_GATES),
            Map.entry("ffn_up_exps.weight", QwenTensors.EXPERT_UPS),
            Map.entry("ffn_down_exps.weight", QwenTensors.EXPERT_DOWNS),
            Map.entry("ffn_gate_inp_shexp.weight", QwenTensors.SHARED_WEIGHT),
            Map.entry("ffn_gate_shexp.weight", QwenTensors.SHARED_GATE),
            Map.entry("ffn_up_shexp.weight", QwenTensors.SHARED_UP),
            Map.entry("ffn_down_shexp.weight", QwenTensors.SHARED_DOWN));
    private static final Map<String, String> GLOBAL_BACK = inverse(GLOBAL);
    private static final Map<String, String> LAYER_BACK = inverse(LAYER);
    private static final Pattern GGUF_LAYER = Pattern.compile("blk\\.(0|[1-9][0-9]{0,5})\\.(.+)");
    private static final Pattern HF_LAYER = Pattern.compile("model\\.layers\\.(0|[1-9][0-9]{0,5})\\.(.+)");

    private GgufNames() {}

    /** The checkpoint's name of a GGUF tensor; a name that the decoder does not know stays as it is. */
    public static String toCheckpoint(String name) {
        Matcher layer = GGUF_LAYER.matcher(name);
        if (layer.matches()) {
            String part = LAYER.get(layer.group(2));
            return part == null ? name : QwenTensors.layer(Integer.parseInt(layer.group(1)), part);
        }
        return GLOBAL.getOrDefault(name, name);
    }

    /** The GGUF name of a checkpoint's tensor; a name that the decoder does not know stays as it is. */
    public static String toGguf(String name) {
        Matcher layer = HF_LAYER.matcher(name);
        if (layer.matches()) {
            String part = LAYER_BACK.get(layer.group(2));
            return part == null ? name : "blk." + layer.group(1) + "." + part;
        }
        return GLOBAL_BACK.getOrDefault(name, name);
    }

    private static Map<String, String> inverse(Map<String, String> map) {
        return map.entrySet().stream().collect(Collectors.toUnmodifiableMap(Map.Entry::getValue, Map.Entry::getKey));
    }
}
