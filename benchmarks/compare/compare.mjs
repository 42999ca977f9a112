// Runs Qwen4J and llama.cpp in turn on the same GGUF files with the same number of threads, each run a process of its own, and prints the medians.
// usage: node compare.mjs [--threads N] [--prompt-tokens P] [--generate-tokens G] [--depth D] [--rounds R] [--json FILE] MODEL.gguf...
import {execFileSync} from "node:child_process";
import {existsSync, writeFileSync} from "node:fs";
import {basename, dirname, join} from "node:path";
import {fileURLToPath} from "node:url";
import {parseArgs} from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const {values, positionals: models} = parseArgs({
    allowPositionals: true,
    options: {
        "threads": {type: "string", default: "2"},
        "prompt-tokens": {type: "string", default: "512"},
        "generate-tokens": {type: "string", default: "64"},
        "depth": {type: "string", default: "0"},
        "rounds": {type: "string", default: "3"},
        "json": {type: "string"}
    }
});
if (models.length === 0) {
    console.error("usage: node compare.mjs [--threads N] [--prompt-tokens P] [--generate-tokens G] [--depth D] [--rounds R] [--json FILE] MODEL.gguf...");
    process.exit(2);
}
const {threads, "prompt-tokens": prompt, "generate-tokens": generate, depth, rounds} = values;

const engines = {
    "Qwen4J": (model) => run(join(here, "../../qwen"), ["bench", model, "--threads", threads, "--prompt-tokens", prompt,
        "--generate-tokens", generate, "--depth", depth, "--repetitions", "1", "--json"]),
    "llama.cpp": (model) => existsSync(join(here, "node_modules/node-llama-cpp"))
        ? run(process.execPath, [join(here, "llama.mjs"), model, prompt, generate, depth, threads, "1"])
        : missing("llama.cpp", "run npm install in benchmarks/compare")
};
const reported = new Set();

function missing(engine, why) {
    if (!reported.has(engine))
        console.error(`${engine} is missing: ${why}`);
    reported.add(engine);
    return undefined;
}

function run(command, args) {
    const result = JSON.parse(execFileSync(command, args, {encoding: "utf8", stdio: ["ignore", "pipe", "inherit"]}));
    const one = (v) => Array.isArray(v) ? v[0] : v;
    return {
        prefill: one(result.prefill_tokens_per_second),
        decode: one(result.decode_tokens_per_second),
        load: result.load_seconds,
        memory: result.peak_rss_bytes / 1e6
    };
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const rows = [];
for (const model of models) {
    const samples = {};
    for (let round = 0; round < Number(rounds); round++) {
        for (const [engine, measure] of Object.entries(engines)) {
            process.stderr.write(`${basename(model)}: round ${round + 1} of ${rounds}, ${engine}\n`);
            const sample = measure(model);
            if (sample)
                (samples[engine] ??= []).push(sample);
        }
    }
    for (const [engine, list] of Object.entries(samples)) {
        const figure = (name) => median(list.map((sample) => sample[name]));
        rows.push({model: basename(model), engine, prefill: figure("prefill"), decode: figure("decode"), load: figure("load"), memory: figure("memory"), samples: list});
    }
}

console.log("| model | engine | prefill tokens/s | decode tokens/s | load s | peak MB |\n|---|---|---|---|---|---|");
for (const r of rows)
    console.log(`| ${r.model} | ${r.engine} | ${r.prefill.toFixed(1)} | ${r.decode.toFixed(1)} | ${r.load.toFixed(2)} | ${r.memory.toFixed(0)} |`);
if (values.json)
    writeFileSync(values.json, JSON.stringify({threads, prompt, generate, depth, rounds, rows}, null, 2) + "\n");
