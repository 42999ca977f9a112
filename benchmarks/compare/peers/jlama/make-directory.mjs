// Writes a Hugging Face directory of random BF16 weights in a shape of Qwen2.5, for jlama, which reads nothing else.
// usage: node make-directory.mjs 0.5B|1.5B DIRECTORY
import {closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync} from "node:fs";
import {join} from "node:path";
import {gunzipSync} from "node:zlib";
import {root} from "../../lib/paths.mjs";

const SHAPES = {
    "0.5B": {hidden_size: 896, intermediate_size: 4864, num_hidden_layers: 24, num_attention_heads: 14, num_key_value_heads: 2},
    "1.5B": {hidden_size: 1536, intermediate_size: 8960, num_hidden_layers: 28, num_attention_heads: 12, num_key_value_heads: 2}
};
const [name, directory] = process.argv.slice(2), shape = SHAPES[name];
if (shape === undefined || directory === undefined) {
    console.error("usage: node make-directory.mjs 0.5B|1.5B DIRECTORY");
    process.exit(2);
}
const VOCABULARY = 151936;
const {hidden_size: d, intermediate_size: f, num_hidden_layers: layers, num_attention_heads: h, num_key_value_heads: k} = shape, e = d / h;
const tensors = {"model.embed_tokens.weight": [VOCABULARY, d], "model.norm.weight": [d]};
for (let i = 0; i < layers; i++) {
    const layer = {
        "input_layernorm.weight": [d], "post_attention_layernorm.weight": [d],
        "self_attn.q_proj.weight": [h * e, d], "self_attn.q_proj.bias": [h * e], "self_attn.k_proj.weight": [k * e, d],
        "self_attn.k_proj.bias": [k * e], "self_attn.v_proj.weight": [k * e, d], "self_attn.v_proj.bias": [k * e],
        "self_attn.o_proj.weight": [d, h * e], "mlp.gate_proj.weight": [f, d], "mlp.up_proj.weight": [f, d], "mlp.down_proj.weight": [d, f]
    };
    for (const [part, dimensions] of Object.entries(layer))
        tensors[`model.layers.${i}.${part}`] = dimensions;
}

mkdirSync(directory, {recursive: true});
writeFileSync(join(directory, "config.json"), JSON.stringify({
    architectures: ["Qwen2ForCausalLM"], model_type: "qwen2", hidden_act: "silu", bos_token_id: 151643, eos_token_id: 151645, vocab_size: VOCABULARY,
    ...shape, rms_norm_eps: 1e-6, rope_theta: 1e6, max_position_embeddings: 32768, tie_word_embeddings: true, torch_dtype: "bfloat16"
}, null, 2));
const gz = readFileSync(join(root, "qwen-core/src/test/resources/io/qwen4j/core/tokenizer/tokenizer.json.gz"));
writeFileSync(join(directory, "tokenizer.json"), gunzipSync(gz));
writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify({tokenizer_class: "Qwen2Tokenizer", eos_token: "<|im_end|>"}));
writeFileSync(join(directory, "README.md"), "Random weights.\n");  // its quantizer asks for one

let offset = 0;
const header = {};
for (const [tensor, dimensions] of Object.entries(tensors)) {
    const bytes = 2 * dimensions.reduce((a, b) => a * b, 1);
    header[tensor] = {dtype: "BF16", shape: dimensions, data_offsets: [offset, offset + bytes]};
    offset += bytes;
}
let text = JSON.stringify(header);
text += " ".repeat((8 - text.length % 8) % 8);
const file = openSync(join(directory, "model.safetensors"), "w");
const length = Buffer.alloc(8);
length.writeBigUInt64LE(BigInt(text.length));
writeSync(file, length);
writeSync(file, text);
// Values from -0.06 to 0.06, from a period that no tensor's row divides.
const values = Buffer.alloc(2 * 1000003), float = new Float32Array(1), bits = new Uint32Array(float.buffer);
for (let i = 0, state = 1; i < 1000003; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    float[0] = (state / 2 ** 32 - 0.5) * 0.12;
    values.writeUInt16LE(bits[0] >>> 16, 2 * i);
}
for (let left = offset; left > 0; left -= values.length)
    writeSync(file, values, 0, Math.min(left, values.length));
closeSync(file);
