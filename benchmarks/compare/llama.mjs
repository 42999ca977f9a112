// Times llama.cpp as node-llama-cpp ships it: prefill of P tokens and decode of G tokens after D tokens of context.
// usage: node llama.mjs MODEL.gguf P G D THREADS REPETITIONS   -> one JSON object on stdout
import {readFileSync} from "node:fs";
import {performance} from "node:perf_hooks";
import {getLlama} from "node-llama-cpp";

const [file, ...numbers] = process.argv.slice(2);
const [promptTokens, generateTokens, depth, threads, repetitions] = numbers.map(Number);

const llama = await getLlama({gpu: false, logLevel: "error", maxThreads: threads, progressLogs: false});
const loadStart = performance.now();
const model = await llama.loadModel({modelPath: file});
const loadSeconds = (performance.now() - loadStart) / 1000;
const context = await model.createContext({
    contextSize: depth + promptTokens + generateTokens + 16,
    batchSize: 512,
    threads: {ideal: threads, min: threads}
});
const sequence = context.getSequence();

// The same ids that qwen bench takes: a fixed walk over the vocabulary.
const ids = (count, from) => Array.from({length: count}, (_, i) => 100 + ((from + i) * 7919) % 3000);

async function run() {
    await sequence.clearHistory();
    if (depth > 0)
        await sequence.evaluateWithoutGeneratingNewTokens(ids(depth, 0));

    let start = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(ids(promptTokens, depth));
    const prefill = promptTokens / ((performance.now() - start) / 1000);

    // One token first, so that only decode steps are timed.
    const stream = sequence.evaluate(ids(1, depth + promptTokens), {temperature: 0, yieldEogToken: true});
    await stream.next();
    start = performance.now();
    for (let i = 0; i < generateTokens; i++)
        await stream.next();
    const decode = generateTokens / ((performance.now() - start) / 1000);
    await stream.return();
    return {prefill, decode};
}

await run();
const prefill = [], decode = [];
for (let i = 0; i < repetitions; i++) {
    const result = await run();
    prefill.push(result.prefill);
    decode.push(result.decode);
}
console.log(JSON.stringify({
    engine: "llama.cpp",
    version: `node-llama-cpp ${JSON.parse(readFileSync(new URL("./package.json", import.meta.url))).dependencies["node-llama-cpp"]}`,
    load_seconds: loadSeconds,
    prefill_tokens_per_second: prefill,
    decode_tokens_per_second: decode,
    peak_rss_bytes: process.resourceUsage().maxRSS * 1024
}));
process.exit(0);
