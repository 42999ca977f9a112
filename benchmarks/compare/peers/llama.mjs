// Times llama.cpp as node-llama-cpp ships it. One JSON object on standard output; with --first-token the first token and nothing else.
// usage: node llama.mjs MODEL.gguf --prompt-tokens P --generate-tokens G --depth D --sequences N --threads T [--first-token]
import {readFileSync} from "node:fs";
import {performance} from "node:perf_hooks";
import {parseArgs} from "node:util";
import {getLlama} from "node-llama-cpp";

const {values, positionals: [file]} = parseArgs({
    allowPositionals: true,
    options: {
        "prompt-tokens": {type: "string", default: "512"},
        "generate-tokens": {type: "string", default: "64"},
        "depth": {type: "string", default: "0"},
        "sequences": {type: "string", default: "1"},
        "threads": {type: "string", default: "2"},
        "first-token": {type: "boolean", default: false}
    }
});
const [prompt, generate, depth, sequences, threads] =
    ["prompt-tokens", "generate-tokens", "depth", "sequences", "threads"].map((name) => Number(values[name]));

// A fixed walk over ids that every vocabulary of Qwen2.5 has.
const ids = (count, from) => Array.from({length: count}, (_, i) => 100 + ((from + i) * 7919) % 3000);
const seconds = (since) => (performance.now() - since) / 1000;
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const greedy = {temperature: 0, yieldEogToken: true};

const loadStart = performance.now();
const llama = await getLlama({gpu: false, build: "never", logLevel: "error", maxThreads: threads, progressLogs: false});
const model = await llama.loadModel({modelPath: file});
const context = await model.createContext({
    sequences,
    contextSize: depth + prompt + generate + 32,
    batchSize: 512,
    threads: {ideal: threads, min: threads}
});
const loadSeconds = seconds(loadStart);
const all = Array.from({length: sequences}, () => context.getSequence());

if (values["first-token"]) {
    const {value} = await all[0].evaluate(ids(Math.max(1, prompt), 0), greedy).next();
    process.stdout.write(`${value}\n`, () => process.exit(0));
    await new Promise(() => {});
}

/** Brings a sequence to a depth of D tokens, at least 1, and takes one token more, so that what follows are decode steps only. */
async function begin(sequence, number) {
    await sequence.clearHistory();
    const context = ids(Math.max(1, depth), number);
    if (context.length > 1)
        await sequence.evaluateWithoutGeneratingNewTokens(context.slice(0, -1));
    const stream = sequence.evaluate(context.slice(-1), greedy);
    await stream.next();
    return stream;
}

async function decode() {
    const streams = [];
    for (const [number, sequence] of all.entries())
        streams.push(await begin(sequence, number));
    const steps = [];
    const start = performance.now();
    await Promise.all(streams.map(async (stream, number) => {
        let last = performance.now();
        for (let i = 0; i < generate; i++) {
            await stream.next();
            const now = performance.now();
            if (number === 0)
                steps.push((now - last) / 1000);
            last = now;
        }
    }));
    const speed = generate * sequences / seconds(start);
    for (const stream of streams)
        await stream.return();
    return {speed, step: median(steps), slowest: Math.max(...steps)};
}

async function prefill() {
    const sequence = all[0];
    await sequence.clearHistory();
    if (depth > 0)
        await sequence.evaluateWithoutGeneratingNewTokens(ids(depth, 0));
    const start = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(ids(prompt, depth));
    return prompt / seconds(start);
}

// Which of its libraries it took, by the processor they are made for.
const library = /libggml-cpu-(\w+)\.so/.exec(readFileSync("/proc/self/maps", "utf8"))?.[1];
const result = {backend: `node-llama-cpp, ${library}`, load_seconds: loadSeconds};
for (const warmUp of [true, false]) {
    if (generate > 0) {
        const {speed, step, slowest} = await decode();
        if (!warmUp)
            Object.assign(result, {decode_tokens_per_second: speed, decode_step_seconds: step, decode_slowest_step_seconds: slowest});
    }
    if (prompt > 0) {
        const speed = await prefill();
        if (!warmUp)
            result.prefill_tokens_per_second = speed;
    }
}
result.peak_rss_bytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(JSON.stringify(result) + "\n", () => process.exit(0));
