// The engines. Each tells why it is missing, gets itself ready, and knows the commands of its measurements.
import {readFileSync} from "node:fs";
import {join} from "node:path";
import {here, qwen} from "./paths.mjs";
import {lastJson, run} from "./child.mjs";
import {fetchLlama, llamaAvx2} from "./fetch-llama.mjs";
import {fetchPeer, peerCommand} from "./fetch-maven.mjs";
import {jlamaModel} from "./jlama-model.mjs";
import {UsageError} from "./options.mjs";

const flags = (work, threads) => [
    "--prompt-tokens", String(work.prompt), "--generate-tokens", String(work.generate), "--depth", String(work.depth), "--threads", String(threads)];
const PROMPT = 8;  // tokens of the prompt of a first token

function qwen4j(name, isa) {
    const held = isa ? ["--isa", isa] : [];
    return {
        name, isa, reference: name,
        scenarios: ["speed", "first-token", "sequences", "busy"],
        prepare: async () => {
            await run(qwen, ["--version"]);
        },
        figures: async (model, work, options) => lastJson((await run(qwen, ["bench", model, ...flags(work, options.threads), ...held,
            "--sequences", String(work.sequences), "--repetitions", "1", "--json"], {limit: options.limit})).out),
        firstToken: (model, options) => run(qwen, ["generate", model, "--ids", Array.from({length: PROMPT}, (_, i) => 100 + i).join(","), "--greedy",
            "--ignore-end", "--max-tokens", "1", "--print-ids", "--threads", String(options.threads), ...held], {limit: options.limit})
    };
}

function llama(name, isa, directory) {
    const script = () => join(directory(), "peers/llama.mjs");
    return {
        name, isa, reference: isa ? "qwen4j-avx2" : "qwen4j",
        scenarios: ["speed", "first-token", "sequences", "busy"],
        prepare: async () => {
            await fetchLlama();
            await directory();
        },
        figures: async (model, work, options) => lastJson((await run(process.execPath, [script(), model, ...flags(work, options.threads),
            "--sequences", String(work.sequences)], {limit: options.limit})).out),
        firstToken: (model, options) => run(process.execPath, [script(), model, "--first-token", "--prompt-tokens", String(PROMPT),
            "--threads", String(options.threads)], {limit: options.limit})
    };
}

const kherud = {
    name: "kherud", isa: "avx2", reference: "qwen4j",
    scenarios: ["speed", "first-token"],
    prepare: () => fetchPeer("kherud"),
    figures: async (model, work, options) => {
        const [command, args] = peerCommand("kherud");
        return lastJson((await run(command, [...args, model, ...flags(work, options.threads)], {limit: options.limit})).out);
    },
    firstToken: (model, options) => {
        const [command, args] = peerCommand("kherud");
        return run(command, [...args, model, "--first-token", "1", "--prompt-tokens", String(PROMPT), "--threads", String(options.threads)],
            {limit: options.limit, noise: /^Extracted .*(\n|$)/gm});
    }
};

const jlama = {
    name: "jlama", isa: undefined, reference: "qwen4j",
    scenarios: ["speed"],
    prepare: () => fetchPeer("jlama"),
    figures: async (model, work, options) => {
        const directory = await jlamaModel(model, options);
        const [command, args] = peerCommand("jlama");
        return lastJson((await run(command, [...args, directory, ...flags(work, options.threads)], {limit: options.limit})).out);
    }
};

const ALL = [qwen4j("qwen4j"), llama("llama.cpp", undefined, () => here), kherud, jlama, qwen4j("qwen4j-avx2", "avx2"),
    llama("llama.cpp-avx2", "avx2", llamaAvx2)];

/** Those asked for, else all that differ on this machine: where AVX2 is the best there is, forcing it changes nothing. */
export function chooseEngines(names) {
    if (names === undefined) {
        const avx512 = /^flags\s*:.*\bavx512f\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
        return ALL.filter((engine) => avx512 || !engine.name.endsWith("-avx2"));
    }
    return names.map((name) => {
        const engine = ALL.find((e) => e.name === name);
        if (engine === undefined)
            throw new UsageError(`no engine ${name}; there are ${ALL.map((e) => e.name).join(", ")}`);
        return engine;
    });
}
