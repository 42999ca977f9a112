// jlama reads Hugging Face directories and its own 4-bit type only: a directory of the model's shape is quantized once by its own code.
import {existsSync, readFileSync, statSync} from "node:fs";
import {join, resolve} from "node:path";
import {createHash} from "node:crypto";
import {run} from "./child.mjs";
import {peerCommand} from "./fetch-maven.mjs";
import {target} from "./paths.mjs";
import {shapeOf} from "./shape.mjs";

export async function jlamaModel(model, options) {
    if (options.jlamaDirectory === undefined)
        throw new Error("it reads no GGUF; give a Hugging Face directory of the same shape with --jlama-directory (make-directory.mjs makes one)");
    const source = resolve(options.jlamaDirectory), config = JSON.parse(readFileSync(join(source, "config.json"), "utf8"));
    const shape = await shapeOf(model);
    if (config.hidden_size !== shape.hidden || config.num_hidden_layers !== shape.layers)
        throw new Error(`${source} has another shape: hidden size ${config.hidden_size} and ${config.num_hidden_layers} layers, expected ` +
            `${shape.hidden} and ${shape.layers}`);
    const key = createHash("sha256").update(`${source} ${statSync(join(source, "config.json")).mtimeMs}`).digest("hex").slice(0, 12);
    const quantized = join(target, "jlama", `model-${key}`);
    if (!existsSync(join(quantized, "config.json"))) {
        const [command, args] = peerCommand("jlama");
        await run(command, [...args, source, "--quantize", quantized], {limit: options.limit});
    }
    return quantized;
}
