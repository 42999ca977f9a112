// What a model's file says about the work of a token: bytes to read and multiply-adds to do.
import {lastJson, run} from "./child.mjs";
import {qwen} from "./paths.mjs";

const FLOAT = new Set(["F32", "F16", "BF16"]);

export async function shapeOf(model) {
    const {metadata, tensors} = lastJson((await run(qwen, ["inspect", model, "--json"])).out);
    const architecture = metadata["general.architecture"];
    const value = (key) => Number(metadata[`${architecture}.${key}`]);
    const heads = value("attention.head_count"), layers = value("block_count"), hidden = value("embedding_length");
    const headSize = metadata[`${architecture}.attention.key_length`] === undefined ? hidden / heads : value("attention.key_length");
    const embedding = tensors.find((t) => t.name === "token_embd.weight");
    const head = tensors.find((t) => t.name === "output.weight");
    // Of the experts, which alone have three dimensions, a token uses some.
    const share = (t) => t.shape.length === 3 ? value("expert_used_count") / t.shape[0] : 1;
    // One row of the embedding is read for a token; the whole of it where it is the output layer too.
    const weightBytes = tensors.reduce((sum, t) => sum + share(t) * t.bytes, 0) - (head ? embedding.bytes * (1 - 1 / embedding.shape[0]) : 0);
    const blocks = tensors.filter((t) => t.name.startsWith("blk.") && t.shape.length > 1);
    const macs = (list) => list.reduce((sum, t) => sum + share(t) * t.shape.reduce((product, n) => product * n, 1), 0);
    const shape = {
        layers, hidden, heads, headSize,
        kvHeads: value("attention.head_count_kv"),
        fileBytes: tensors.reduce((sum, t) => sum + t.bytes, 0),
        weightBytes,
        // The output layer is computed for the last token of a prompt only.
        prefillMacs: macs(blocks),
        float: 2 * macs(blocks.filter((t) => FLOAT.has(t.type))) > macs(blocks)
    };
    if (!Object.values(shape).every((v) => typeof v === "boolean" || Number.isFinite(v)))
        throw new Error(`${model}: no GGUF file of a Qwen2 model: ${JSON.stringify(shape)}`);
    return shape;
}

/** Bytes of keys and values in half precision that a decode step reads at a length. */
export const kvBytes = (shape, length) => 2 * 2 * shape.layers * shape.kvHeads * shape.headSize * length;

/** Bytes a decode step reads, in the middle of G tokens after D. */
export const decodeBytes = (shape, {depth, generate}) => shape.weightBytes + kvBytes(shape, Math.max(1, depth) + generate / 2);

/** Multiply-adds of a prompt token, in the middle of P tokens after D; each query meets all keys and values up to its own. */
export const prefillMacs = (shape, {depth, prompt}) =>
    shape.prefillMacs + 2 * shape.layers * shape.heads * shape.headSize * (depth + (prompt + 1) / 2);
